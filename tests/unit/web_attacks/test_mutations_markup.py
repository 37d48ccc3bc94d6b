"""Cross-site scripting mutations: the HTML parses to the same tree and the script makes the same calls.

HTML is read by Python's html.parser; scripts run in Node where it is installed, with `alert` and its kin replaced
by functions that only record their arguments.
"""

import json
import random
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from secmlops.web_attacks.mutations import MUTATIONS, for_class, mutate
from secmlops.web_attacks.mutations.markup import MUTATIONS as MARKUP

HTML_CASES = [
    "<img src=x onerror=alert(1)>",
    "<img src='x' onerror='alert(\"hi\")'>",
    '<svg onload="alert(1)">text</svg>',
    "<a href=\"javascript:alert('link')\">click</a>",
    "<body onload=prompt(7)>",
    '<iframe src="javascript:confirm(2)"></iframe>',
    "<b>bold</b><div style='x'>y</div>",
]
SCRIPT_CASES = [
    "<script>alert('XSS')</script>",
    "<script>alert(1);confirm('again')</script>",
    "<script>eval('alert(3)')</script>",
]
NODE = shutil.which("node")
RUNNER = """
const vm = require('vm');
const scripts = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const results = scripts.map((script) => {
  const calls = [];
  const context = {};
  for (const name of ['alert', 'prompt', 'confirm', 'fetch'])
    context[name] = (...given) => calls.push([name, ...given.map(String)]);
  context.self = context.window = context;
  vm.createContext(context);
  vm.runInContext('var globalThis_ = this;', context);
  try { vm.runInContext(script, context, { timeout: 1000 }); } catch (error) { calls.push(['error', String(error)]); }
  return calls;
});
console.log(JSON.stringify(results));
"""


class Tree(HTMLParser):
    """Start tags with their decoded attributes, end tags and text."""

    def __init__(self, text):
        super().__init__()
        self.events = []
        self.scripts = []
        self._in_script = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.events.append((tag, tuple(attrs)))
        self._in_script = tag == "script"
        for name, value in attrs:
            target = (value or "").replace("\t", "").replace("\n", "").replace("\r", "")
            if name.startswith("on"):
                self.scripts.append(value)
            elif name in ("src", "href") and target.lower().startswith("javascript:"):
                self.scripts.append(target[len("javascript:") :])

    def handle_endtag(self, tag):
        self.events.append((f"/{tag}", ()))
        self._in_script = False

    def handle_data(self, data):
        if self._in_script:
            self.scripts.append(data)
        self.events.append(("text", data))


def calls_of(scripts_of_variants):
    done = subprocess.run(
        [NODE, "-e", RUNNER], input=json.dumps(scripts_of_variants), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "name", ["html_name_case", "html_attribute_gap", "html_attribute_entities", "html_attribute_quotes"]
)
def test_the_tree_stays_the_same(name):
    changed = 0
    for payload in HTML_CASES:
        for seed in range(25):
            mutated = MUTATIONS[name].apply(payload, random.Random(seed))
            changed += mutated != payload
            assert Tree(mutated).events == Tree(payload).events, mutated
    assert changed >= 25


def test_end_tags_stay_end_tags():
    for seed in range(25):
        mutated = MUTATIONS["html_end_tag_space"].apply("<b>bold</b><i>x</i>", random.Random(seed))
        assert mutated != "<b>bold</b><i>x</i>"
        assert Tree(mutated).events == Tree("<b>bold</b><i>x</i>").events


def test_a_junk_attribute_only_adds():
    for payload in HTML_CASES:
        for seed in range(10):
            mutated = MUTATIONS["html_junk_attribute"].apply(payload, random.Random(seed))
            for (tag, attributes), (same_tag, more) in zip(Tree(payload).events, Tree(mutated).events, strict=True):
                assert tag == same_tag
                assert tag == "text" or set(attributes) <= set(more)


def test_surrounding_text_keeps_the_injected_elements():
    for seed in range(25):
        mutated = MUTATIONS["html_surrounding_text"].apply(HTML_CASES[0], random.Random(seed))
        assert Tree(HTML_CASES[0]).events[0] in Tree(mutated).events


@pytest.mark.skipif(NODE is None, reason="Node is not installed")
@pytest.mark.parametrize("one", MARKUP, ids=lambda one: one.name)
def test_each_mutation_keeps_the_calls(one):
    # html.parser, unlike browsers, does not end a script at `</script x>`
    cases = HTML_CASES if one.name == "html_end_tag_space" else HTML_CASES + SCRIPT_CASES
    originals, variants = [], []
    for payload in cases:
        for mutated in {one.apply(payload, random.Random(seed)) for seed in range(15)} - {payload}:
            originals.append("\n;".join(Tree(payload).scripts))
            variants.append("\n;".join(Tree(mutated).scripts))
    assert variants
    expected, got = calls_of(originals), calls_of(variants)
    for before, after, variant in zip(expected, got, variants, strict=True):
        assert after == before, variant


@pytest.mark.skipif(NODE is None, reason="Node is not installed")
def test_composed_mutations_keep_the_calls():
    names = [one.name for one in MARKUP if one.name != "html_end_tag_space"]
    originals, variants = [], []
    for payload in HTML_CASES + SCRIPT_CASES:
        for seed in range(20):
            mutated = mutate(payload, "xss", random.Random(seed), rounds=4, names=names)
            originals.append("\n;".join(Tree(payload).scripts))
            variants.append("\n;".join(Tree(mutated).scripts))
    expected, got = calls_of(originals), calls_of(variants)
    for before, after, variant in zip(expected, got, variants, strict=True):
        assert after == before, variant


def test_every_markup_mutation_belongs_to_xss():
    assert {one.name for one in MARKUP} <= {one.name for one in for_class("xss")}
