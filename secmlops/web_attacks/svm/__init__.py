"""A linear SVM over hashed character and token n-grams of decoded request parts."""
