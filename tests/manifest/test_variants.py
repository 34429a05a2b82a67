import pytest

from relay.manifest.variants import neutral_of, without_variant


@pytest.mark.parametrize(
    ("variants", "neutral"), [(["b", "a"], "a"), (["1", "0", "2"], "0"), (["10", "9"], "9"), (["c"], "c")]
)
def test_the_first_variant_stands_for_all(variants: list[str], neutral: str) -> None:
    assert neutral_of(variants) == neutral


@pytest.mark.parametrize(
    ("uri", "variant", "left"),
    [
        ("a/s1.mp4", "a", "s1.mp4"),
        ("v/a/s1.mp4", "a", "v/s1.mp4"),
        ("/a/s1.mp4", "a", "/s1.mp4"),
        ("/v/a/s1.mp4?x=a/b", "a", "/v/s1.mp4?x=a/b"),
        ("../a/$Number$.mp4", "a", "../$Number$.mp4"),
        ("https://o.example/v/a/s1.mp4", "a", "https://o.example/v/s1.mp4"),
        ("b/s1.mp4", "a", "b/s1.mp4"),
        ("a/b/s1.mp4", "a", "a/b/s1.mp4"),
        ("s1.mp4", "a", "s1.mp4"),
        ("/s1.mp4", "", "/s1.mp4"),
        ("0/s1.mp4", "0", "s1.mp4"),
    ],
)
def test_the_folder_of_a_variant_is_left_out(uri: str, variant: str, left: str) -> None:
    assert without_variant(uri, variant) == left
