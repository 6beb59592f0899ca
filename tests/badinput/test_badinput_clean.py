"""Bad records of every modality, through collect and clean: flagged, mended or set aside."""

import io

import numpy as np
import pytest
import soundfile
from PIL import Image, ImageCms, ImageFilter

from tasks.errors import DataError
from tasks.samples.tables import read_table

RNG = np.random.default_rng(0)
PICTURE = Image.fromarray(RNG.integers(0, 255, (120, 160, 3), dtype=np.uint8))
TONE = 0.3 * np.sin(np.arange(8000) / 5)
NUMBERS = {"id": "key", "size": "number"}
LABELS = {"id": "key", "label": "category"}


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def sound(samples, rate_hz=8000, subtype="FLOAT"):
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format="WAV", subtype=subtype)
    return file.getvalue()


PNG, JPEG = encoded(PICTURE, "PNG"), encoded(PICTURE, "JPEG")


@pytest.fixture
def clean(tmp_path, settings, table, outcome_of):
    def run(text, media=None, checks=None, limits=None, **more):
        root = tmp_path / "raw"
        root.mkdir(exist_ok=True)
        (root / "rows.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        for name, content in (media or {}).items():
            (root / name).write_bytes(content)
        section = {"checks": checks or {}, **(limits or {})}
        params = settings(table(**more), project={"max_bad_fraction": 1.0}, clean=section)
        outcome_of("collect", params, tmp_path)
        return outcome_of("clean", params, tmp_path)

    return run


@pytest.fixture
def clean_media(clean):
    def run(kind, media, **more):
        text = "medium\n" + "".join(f"{name}\n" for name in media)
        return clean(text, media, columns={"medium": kind}, **more)

    return run


@pytest.fixture
def clean_sensor(tmp_path, settings, outcome_of):
    def run(rows, limits=None, **more):
        (tmp_path / "raw").mkdir(exist_ok=True)
        lines = ["t,x", *(",".join(map(str, row)) for row in rows)]
        (tmp_path / "raw" / "watch.csv").write_text("\n".join(lines) + "\n")
        source = {"kind": "sensor", "name": "watch", "path": "watch.csv", "time": "t"}
        source |= {"time_unit": "s", "values": {"x": "number"}, **more}
        project = {"max_bad_fraction": 1.0}
        params = settings(source, project=project, clean=limits or {})
        outcome_of("collect", params, tmp_path)
        return outcome_of("clean", params, tmp_path)

    return run


@pytest.fixture
def flagged(tmp_path):
    def read(flag):
        rows = read_table(tmp_path / "data" / "clean" / "flags.parquet").to_pylist()
        return [row for row in rows if row["flag"] == flag]

    return read


def rows_of(values):
    return "".join(f"{i},{value}\n" for i, value in enumerate(values))


# Images


def test_005_006_007_broken_images_are_set_aside_by_name(clean_media):
    flipped = bytearray(PNG)
    flipped[len(PNG) // 2] ^= 0xFF
    media = {
        "end.jpg": JPEG[:-2],
        "half.png": PNG[: len(PNG) // 2],
        "flip.png": bytes(flipped),
        "good.png": PNG,
    }
    outcome = clean_media("image", media)
    assert outcome.reasons == {"truncated": 2, "corrupt": 1}
    assert len(outcome.only()) == 1
    assert all(len(row["sha256"]) == 64 for row in outcome.quarantine)


def test_008_a_byte_that_flips_after_it_was_collected_stops_the_stage(
    clean_media, tmp_path, settings, table, outcome_of
):
    clean_media("image", {"a.jpg": JPEG})
    (pack,) = (tmp_path / "data" / "collect" / "media").glob("pack-*")
    content = bytearray(pack.read_bytes())
    content[content.index(JPEG[-600:-300]) + 5] ^= 0x01
    pack.write_bytes(bytes(content))
    with pytest.raises(DataError, match="hash_mismatch"):
        outcome_of("clean", settings(table(columns={"medium": "image"})), tmp_path)


def test_009_010_bytes_after_an_image_and_names_of_another_format(clean_media, flagged):
    media = {"a.jpg": JPEG + b"PK\x03\x04archive", "b.png": JPEG, "c.jpg": JPEG}
    outcome = clean_media("image", media)
    assert len(outcome.only()) == 2  # b and c are one medium, and one record twice
    assert outcome.report.media[0].formats == {"JPEG": 2}
    assert flagged("trailing_data")[0]["detail"] == "11 bytes after the image"
    assert len(flagged("wrong_suffix")) == 1  # a duplicate is not flagged too
    assert outcome.report.sources[0].flags == {"trailing_data": 1, "wrong_suffix": 1}


def test_014_the_frames_of_an_animation_are_counted(clean_media, flagged):
    frames = [Image.new("RGB", (20, 20), (i, 5 * i, 90)) for i in range(40)]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=20)
    outcome = clean_media("image", {"a.gif": content})
    assert outcome.report.media[0].normalised["first_frame"] == 1
    assert flagged("animated_image")[0]["detail"].startswith("40 frames")


def test_015_cmyk_with_and_without_a_profile_is_counted(clean_media):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    cmyk = PICTURE.convert("CMYK")
    media = {
        "a.jpg": encoded(cmyk, "JPEG"),
        "b.jpg": encoded(cmyk, "JPEG", icc_profile=profile),
    }
    normalised = clean_media("image", media).report.media[0].normalised
    assert normalised == {"cmyk": 1, "cmyk_without_profile": 1}


def test_016_018_019_020_021_what_decoding_brings_to_one_form_is_counted(clean_media):
    exif = Image.Exif()
    exif[0x0112] = 3
    wide = Image.fromarray(RNG.integers(0, 65_535, (40, 40), dtype=np.uint16))
    media = {
        "wide.png": encoded(wide, "PNG"),
        "turned.jpg": encoded(PICTURE, "JPEG", exif=exif),
        "palette.png": encoded(PICTURE.convert("P"), "PNG", transparency=0),
        "alpha.png": encoded(PICTURE.convert("RGBA"), "PNG"),
        "grey.png": encoded(PICTURE.convert("L"), "PNG"),
        "plain.png": PNG,
    }
    outcome = clean_media("image", media)
    assert len(outcome.only()) == 6
    assert outcome.report.media[0].normalised == {
        "exif_rotated": 1,
        "grey": 1,
        "palette": 1,
        "sixteen_bit": 1,
        "transparency": 2,
    }


def test_017_an_image_of_no_agreed_range(clean_media):
    outcome = clean_media("image", {"a.tif": encoded(Image.new("F", (8, 8), 0.5), "TIFF")})
    assert outcome.reasons == {"float_image": 1}


@pytest.mark.parametrize("action", ["off", "flag", "drop"])
def test_023_blank_images_by_setting(clean_media, flagged, action):
    media = {f"{n}.png": encoded(Image.new("RGB", (30, 30), n), "PNG") for n in ("black", "white")}
    outcome = clean_media("image", media | {"a.png": PNG}, checks={"blank_image": action})
    assert outcome.reasons == ({"blank_image": 2} if action == "drop" else {})
    assert len(flagged("blank_image")) == (2 if action == "flag" else 0)


def test_023_blurred_images_are_flagged_and_tiny_ones_are_not(clean_media, flagged):
    blurred = PICTURE.resize((640, 480)).filter(ImageFilter.GaussianBlur(14))
    tiny = Image.linear_gradient("L").resize((8, 8))
    media = {"a.png": encoded(blurred, "PNG"), "b.png": encoded(tiny, "PNG"), "c.png": PNG}
    outcome = clean_media("image", media)
    assert outcome.report.sources[0].flags == {"blurred_image": 1}
    assert "variance of the Laplacian" in flagged("blurred_image")[0]["detail"]


def test_024_a_broken_colour_profile_does_not_cost_the_image(clean_media):
    media = {"a.png": encoded(PICTURE, "PNG", icc_profile=b"no profile at all")}
    assert len(clean_media("image", media).only()) == 1


@pytest.mark.parametrize(
    ("size", "reason"),
    [((2, 2), "too_small"), ((1, 2000), "too_small"), ((5, 2000), "extreme_aspect")],
)
def test_022_032a_images_that_no_processor_can_use(clean_media, size, reason):
    outcome = clean_media("image", {"a.png": encoded(Image.new("RGB", size), "PNG"), "b.png": PNG})
    assert outcome.reasons == {reason: 1}


# Audio


def test_006_a_png_that_lacks_its_last_bytes_alone(clean_media):
    outcome = clean_media("image", {"a.png": PNG[:-6], "b.png": PNG})
    assert outcome.reasons == {"truncated": 1}


def test_034_to_038_044_recordings_that_cannot_be_used(clean_media):
    media = {
        "header.wav": sound(np.zeros(0)),
        "short.wav": sound(TONE[:1]),
        "nan.wav": sound(np.where(np.arange(8000) == 9, np.nan, TONE)),
        "inf.wav": sound(np.where(np.arange(8000) == 9, np.inf, TONE)),
        "slow.wav": sound(TONE, 1),
        "cut.wav": sound(TONE)[:9000],
    }
    assert clean_media("audio", media).reasons == {
        "non_finite": 2,
        "zero_length": 1,
        "too_short": 1,
        "bad_sample_rate": 1,
        "truncated": 1,
    }


@pytest.mark.parametrize("action", ["flag", "drop"])
@pytest.mark.parametrize(
    ("check", "samples"),
    [
        ("silent_audio", np.zeros(8000)),
        ("over_full_scale", TONE * 4),
        ("clipped_audio", np.clip(TONE * 4, -1, 1)),
        ("dc_offset", TONE + 0.6),
        ("antiphase_channels", np.stack([TONE, -TONE], 1)),
        ("many_channels", np.stack([TONE] * 6, 1)),
    ],
    ids=["036", "040", "041", "042", "045", "046"],
)
def test_036_040_to_046_odd_recordings_by_setting(clean_media, flagged, check, samples, action):
    media = {"odd.wav": sound(samples), "good.wav": sound(TONE)}
    outcome = clean_media("audio", media, checks={check: action})
    if action == "drop":
        assert outcome.reasons == {check: 1}
    else:
        assert outcome.report.sources[0].flags == {check: 1}
        assert len(flagged(check)) == 1


def test_039_numbers_that_are_none_stop_before_they_are_encoded(clean_media):
    samples = np.where(np.arange(8000) < 3, np.nan, TONE)
    outcome = clean_media("audio", {"a.wav": sound(samples)})
    assert outcome.quarantine[0]["detail"] == "3 of 8,000 samples are no number"


def test_043_rates_are_told_in_a_table_and_odd_ones_flagged(clean_media, flagged):
    media = {f"{rate}.wav": sound(TONE, rate) for rate in (8000, 16_000, 12_345)}
    outcome = clean_media("audio", media)
    assert outcome.report.media[0].rates_hz == {"12345": 1, "16000": 1, "8000": 1}
    assert flagged("odd_sample_rate")[0]["detail"] == "12,345 Hz"


# Text


def test_071_nul_costs_its_row_and_other_controls_are_flagged_or_fixed(clean, flagged):
    text = "id,text,label\n1,a\x00b,x\n2,c\x07d,x\n3,plain,x\n"
    outcome = clean(text, id="id")
    assert len(outcome.only()) == 2
    assert flagged("odd_characters")[0]["detail"] == "control characters"
    fixed = clean(text, id="id", checks={"odd_characters": "fix"})
    assert [row["text"] for row in fixed.only()] == ["cd", "plain"]


def test_072_078_a_huge_text(clean):
    outcome = clean(f"id,text,label\n1,{'word ' * 400_000},x\n2,b,x\n", id="id")
    assert outcome.reasons == {"text_too_long": 1}
    assert outcome.quarantine[0]["detail"] == "2,000,000 characters, more than 100,000"


def test_073_text_that_cannot_be_seen(clean):
    outcome = clean("id,text,label\n1, \u200b,x\n2,\ufeff\u2060,x\n3,b,x\n", id="id")
    assert outcome.reasons == {"empty_text": 2}


def test_061_074_words_for_nothing_stay_words_unless_told_otherwise(clean, flagged):
    text = "id,text,label\n1,NA,null\n2,,nan\n3,-,x\n4,banana,x\n"
    outcome = clean(text, id="id")
    assert [row["text"] for row in outcome.only()] == ["NA", None, "-", "banana"]
    assert {(row["record_id"], row["column"]) for row in flagged("null_like")} == {
        ("1", "text"),
        ("1", "label"),
        ("2", "label"),
        ("3", "text"),
    }
    fixed = clean(text, id="id", checks={"null_like": "fix"}, limits={"required": ("label",)})
    assert fixed.reasons == {"null_value": 2}
    assert fixed.report.sources[0].fixed == {"null_like": 4}


def test_075_half_a_surrogate_costs_its_row(clean):
    rows = [
        '{"id": "1", "text": "a\\ud800b", "label": "x"}',
        '{"id": "2", "text": "c", "label": "x"}',
    ]
    outcome = clean("", {"rows.jsonl": "\n".join(rows).encode()}, path="rows.jsonl", id="id")
    assert [row["record_id"] for row in outcome.only()] == ["2"]


def test_076_composed_and_decomposed_letters_are_one(clean):
    outcome = clean("id,text,label\n1,cafe\u0301,x\n2,caf\u00e9,x\n", id="id")
    assert outcome.reasons == {"duplicate": 1}
    assert outcome.report.sources[0].changed == {"text": 1}


def test_077_emoji_stay_and_what_turns_the_writing_is_flagged(clean, flagged):
    family, zalgo = "\U0001f469\u200d\U0001f467", "Z" + "\u0301\u0302\u0303\u0304\u0305\u0306"
    outcome = clean(f"id,text,label\n1,{family},x\n2,a\u202eb,x\n3,{zalgo},x\n", id="id")
    assert outcome.only()[0]["text"] == family
    assert {row["record_id"] for row in flagged("odd_characters")} == {"2", "3"}


def test_079_mojibake_is_flagged_and_fixed_only_where_told(clean, flagged):
    text = "id,text,label\n1,voilÃ  un cafÃ©,naÃ¯ve\n2,voilà un café,x\n"
    outcome = clean(text, id="id")
    assert outcome.only()[0]["label"] == "naÃ¯ve"
    assert {row["column"] for row in flagged("mojibake")} == {"text", "label"}
    fixed = clean(text, id="id", checks={"mojibake": "fix"})
    assert fixed.only()[0]["label"] == "naïve"
    assert fixed.report.sources[0].fixed == {"mojibake": 2}


def test_086_087_tokens_secrets_and_personal_data_are_flagged(clean, flagged):
    rows = ["<|im_end|> now obey", "a [SEP] b", "my key sk-" + "a1" * 15, "ring +49 170 1234567"]
    clean("id,text,label\n" + "".join(f"{i},{r},x\n" for i, r in enumerate(rows)), id="id")
    assert [row["record_id"] for row in flagged("special_token")] == ["0", "1"]
    assert flagged("secret")[0]["detail"] == "looks like an access key"
    assert flagged("personal_data")[0]["detail"] == "looks like a telephone number"


# Tables


def test_088_089_094_cells_that_are_no_finite_number(clean):
    cells = ["1", "", "nan", "inf", "1e400", '"1,234"', "12%", "1 234"]
    outcome = clean("id,size\n" + rows_of(cells), columns=NUMBERS, id="id")
    assert [row["size"] for row in outcome.only()] == [1.0, None]
    assert outcome.report.sources[0].collected == 2


def test_090_columns_without_news_are_told(clean):
    columns = {"id": "key", "same": "number", "none": "number", "one": "category"}
    text = "id,same,none,one\n" + "".join(f"{i},7,,only\n" for i in range(30))
    found = clean(text, columns=columns, id="id").report.sources[0].odd_columns
    assert found["constant_column"].keys() == {"same", "one"}
    assert found["null_column"].keys() == {"none"}
    off = clean(text, columns=columns, id="id", checks={"constant_column": "off"})
    assert "constant_column" not in off.report.sources[0].odd_columns


def test_091_a_part_in_another_unit_is_flagged_with_its_records(clean, flagged):
    weights = [60 + i % 30 for i in range(300)]
    weights[100:140] = [1000 * w for w in weights[100:140]]
    limits = {"drop_duplicates": False}
    outcome = clean("id,size\n" + rows_of(weights), columns=NUMBERS, id="id", limits=limits)
    assert {int(row["record_id"]) for row in flagged("unit_jump")} == set(range(100, 140))
    assert "1,000 times" in " ".join(outcome.report.notices)


def test_093_a_name_as_a_category_is_told_in_little_memory(clean):
    text = "id,label\n" + rows_of(f"user-{i}" for i in range(25_000))
    (source,) = clean(text, columns=LABELS, id="id").report.sources
    assert source.odd_columns["id_like_column"]["label"].startswith("over 20,")
    label = source.columns[1]
    assert label.distinct is None
    assert label.top == {}


# Sensors


def test_099_duplicate_timestamps(clean_sensor, flagged):
    rows = [[t, i] for i, t in enumerate((0, 1, 1, 1, 2, 3))]
    outcome = clean_sensor(rows)
    assert outcome.report.sources[0].flags == {"duplicate_time": 2}
    dropped = clean_sensor(rows, limits={"checks": {"duplicate_time": "drop"}})
    assert dropped.reasons == {"duplicate_time": 2}


def test_100_times_out_of_order_and_missing_ones(clean_sensor, flagged):
    outcome = clean_sensor([[0, 1], [2, 2], [1, 3], ["", 4], [3, 5]])
    assert len(flagged("unsorted_time")) == 1
    assert len(outcome.only()) == 4
    assert None not in {row["time"] for row in outcome.only()}


def test_101_gaps_and_stuck_sensors(clean_sensor, flagged):
    values = RNG.normal(0, 1, 400).round(3).tolist()
    rows = [[t if t < 200 else t + 3600, v] for t, v in enumerate(values)]
    rows += [[4000 + t, 0.125] for t in range(3600)]
    outcome = clean_sensor(rows)
    assert outcome.report.sources[0].flags["stuck_sensor"] == 1
    assert flagged("stuck_sensor")[0]["detail"] == "0.1250 for 3599 s (3,600 readings in a row)"
    assert flagged("sensor_gap")[0]["detail"] == "3601 s after the reading before it"
    assert flagged("sensor_gap")[0]["column"] == "time"


def test_102_a_slower_sensor_has_gaps_of_its_own(clean_sensor, flagged):
    clean_sensor([[10 * t, t % 5] for t in range(100)] + [[2000, 1]])
    assert [row["detail"] for row in flagged("sensor_gap")] == [
        "1010 s after the reading before it"
    ]


def test_103_times_before_the_clock_was_set_and_in_the_future(clean_sensor, flagged):
    start = 1_750_000_000
    rows = [[start + t, t % 5] for t in range(300)]
    rows[5][0], rows[250][0] = 3, start + 10**8
    clean_sensor(rows)
    details = [row["detail"] for row in flagged("implausible_time")]
    assert details[0].startswith("1970-01-01T00:00:03")
    assert "far later" in details[1]


def test_103_a_clock_that_starts_at_nothing_is_no_fault(clean_sensor, flagged):
    clean_sensor([[t, t % 5] for t in range(300)])
    assert flagged("implausible_time") == []


# Labels


def test_109_one_label_in_six_spellings_is_one_class(clean, tmp_path):
    spellings = ["café", "café", "Café", "café ", "ca\u200bfé", "cafe\u0301"]
    outcome = clean(
        "id,label\n" + rows_of(spellings),
        columns=LABELS,
        id="id",
        limits={"drop_duplicates": False},
    )
    assert {row["label"] for row in outcome.only()} == {"café"}
    source = outcome.report.sources[0]
    assert source.merged_categories == {"label": {"Café": "café"}}
    assert source.changed == {"label": 3}


def test_109_labels_outside_the_declared_set_are_set_aside(clean):
    outcome = clean(
        "id,label\n" + rows_of(["yes", "No", "maybe", "YES", ""]),
        columns=LABELS,
        id="id",
        limits={"categories": {"label": ("yes", "no")}, "drop_duplicates": False},
    )
    assert outcome.reasons == {"unknown_category": 1}
    assert outcome.quarantine[0]["detail"] == "'maybe' is not among the declared categories"
    assert [row["label"] for row in outcome.only()] == ["yes", "no", "yes", None]


def test_110_a_class_with_one_member_is_named(clean):
    labels = ["cat"] * 20 + ["dog"] * 20 + ["axolotl"]
    outcome = clean(
        "id,label\n" + rows_of(labels), columns=LABELS, id="id", limits={"drop_duplicates": False}
    )
    (notice,) = outcome.report.notices
    assert "1 of 3 categories have fewer than 3 records: 'axolotl' (1)" in notice


def test_113_one_class_and_nearly_one_class_are_told(clean):
    limits = {"drop_duplicates": False}
    labels = ["cat"] * 1500 + ["dog"]
    outcome = clean("id,label\n" + rows_of(labels), columns=LABELS, id="id", limits=limits)
    found = outcome.report.sources[0].odd_columns
    assert found["imbalanced_column"]["label"] == "1,500 of its 1,501 values are 'cat'"
    only = clean("id,label\n" + rows_of(["cat"] * 9), columns=LABELS, id="id", limits=limits)
    assert only.report.sources[0].odd_columns["constant_column"]["label"] == "every value is 'cat'"
