"""DistilBERT and MobileBERT over windows of decoded request parts."""
