#!/usr/bin/env python3
"""Synthesises the recorded prompts: 8 kHz WAV masters and the manifest that lists them.

    pip install "hibari-tts[fast]==0.2.1"        # engine and voice in one wheel; [fast] adds scipy
    python3 prompts/build.py                     # every prompt of the pack en-US/hibari
    python3 prompts/build.py --only ask          # one prompt, the other rows kept
    python3 prompts/build.py --brand "Contoso"   # adds the greeting `brand_contoso`, the other rows kept

Nothing is downloaded: the voice is inside the wheel. A whole build takes a few seconds on one core.

Which recording is heard: a brand's slug is its name in lower case with every character outside a-z and
0-9 turned into `_`. A call for a brand whose `brand_<slug>` is in the pack opens with it, every other call
opens with `greeting`.

What each master holds to:
  * 8000 Hz, 16-bit, mono PCM, band-limited to the telephone band, so the gateway plays it without resampling;
  * active speech level -16 dBm0. A sine whose peak is 32767 is +3.17 dBm0 (G.711), so
    dBm0 = 20 log10(rms / (32767 / sqrt 2)) + 3.17, where the mean square is taken over the whole 20 ms
    frames (160 samples, from sample 0, a last partial frame dropped) that are themselves at or above
    -32 dBm0: a fixed gate 16 dB under the target, in the place of P.56's 15.9 dB margin;
  * every sample under -3 dBFS;
  * 20 ms before the first sound, 50 ms after the last one, 5 ms fades at both ends, no pause over 0.6 s.
The build stops, with nothing written, when a prompt misses one of these.

The engine's noise has a fixed seed, so one machine makes the same bytes every time. Another processor may
round the int8 network differently: such masters sound the same but have other hashes, so commit the WAVs
and the manifest together.

A new pack is a new entry in PACKS.
"""

import argparse
import hashlib
import io
import itertools
import os
import re
import sys
import wave
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

INSTALL = 'pip install "hibari-tts[fast]==0.2.1"'
ENGINE_VERSION = "0.2.1"
SEED = 0

RATE = 8000
FULL_SCALE_DBM0 = 3.17
TARGET_DBM0 = -16.0
GATE_DBM0 = -32.0
PEAK_DBFS = -3.0
# Where a prompt begins and ends. Far under the gate of the level, to keep a soft f, th or h; the engine's own
# silence lies far under this again.
EDGE_DBM0 = -48.0
LEAD_MS, TAIL_MS, FADE_MS = 20, 50, 5
# The longest silence inside a prompt: the engine leaves most of a second between sentences.
PAUSE_MS = 600


def slug(brand):
    return re.sub(r"[^a-z0-9]", "_", brand.lower())


class Failure(Exception):
    """Something the user can put right; shown without a trace."""


@dataclass(frozen=True)
class Prompt:
    name: str
    text: str
    spoken: str | None = None  # what the engine reads, when that is not the text
    speed: float | None = None  # 1.0 is the engine's own pace, less is slower
    limit_ms: int = 12_000


@dataclass(frozen=True)
class Pack:
    locale: str
    voice: str
    licence: str
    engine_voice: str
    speed: float
    brand: str  # the branded greeting; {brand} is the name
    say: dict = field(default_factory=dict)  # word -> how the engine is told to say it
    prompts: tuple = ()

    @property
    def path(self):
        return f"{self.locale}/{self.voice}"

    def branded(self, name, say=None):
        return Prompt(f"brand_{slug(name)}", self.brand.format(brand=name), self.brand.format(brand=say or name))


def word(name, text):
    # The comma gives a word read out in a row the pitch of "more follows"; a full stop would end every digit.
    return Prompt(name, text, text + ",", speed=0.84, limit_ms=700)


def english():
    pack = {
        "locale": "en-US",
        "voice": "hibari",
        "licence": "Apache-2.0",
        "engine_voice": "heart",
        # A call nobody expected, in a narrow band: somewhat slower than the engine's reading pace.
        "speed": 0.87,
        "brand": "This is {brand} calling to verify your sign-in.",
        # The engine swallows the second half of the noun in front of a verb ("signin' has been").
        "say": {"sign-in": "[sign-in](/sˈInˌɪn/)"},
    }
    digits = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    prompts = (
        Prompt("greeting", "This is your sign-in call."),
        # The one instruction of the call, heard once before the answer: the slowest of all.
        Prompt(
            "ask",
            "If you are signing in now, press the pound key. If you are not, press zero, then pound.",
            speed=0.75,
            limit_ms=8_000,
        ),
        Prompt("again", "Let me say that again."),
        Prompt("thanks", "Thank you. Goodbye."),
        Prompt("goodbye", "We did not hear from you. Goodbye."),
        Prompt("fraud", "Thank you for telling us. This sign-in has been reported. Goodbye."),
        Prompt("wrong_key", "That was not the pound key."),
        Prompt("denied", "The sign-in was not confirmed. Goodbye."),
        Prompt("sorry", "Sorry, something went wrong. Please try again. Goodbye."),
        *(word(f"digit_{n}", text) for n, text in enumerate(digits)),
        word("pound", "pound"),
        word("star", "star"),
        Pack(**pack).branded("Octothorpe"),
    )
    return Pack(**pack, prompts=prompts)


PACKS = {pack.path: pack for pack in (english(),)}


class Engine:
    def __init__(self, pack):
        try:
            import numpy
            import scipy.signal
            from hibari import Hibari

            version = metadata.version("hibari-tts")
        except (ImportError, metadata.PackageNotFoundError) as missing:
            raise Failure(f"hibari-tts {ENGINE_VERSION} (with scipy) is needed: {INSTALL}\n  ({missing})") from missing
        if version != ENGINE_VERSION:
            raise Failure(f"hibari-tts {version} is installed, the masters are made with {ENGINE_VERSION}: {INSTALL}")
        global np, signal
        np, signal = numpy, scipy.signal
        self.pack = pack
        # One thread: the order of float additions, and so the bytes, must not depend on the core count.
        self.tts = Hibari(voice=pack.engine_voice, threads=1)

    def speak(self, prompt):
        """The prompt at the engine's 24 kHz."""
        text = prompt.spoken or prompt.text
        for plain, spoken in self.pack.say.items():
            text = re.sub(rf"\b{re.escape(plain)}\b", lambda _, spoken=spoken: spoken, text)
        return self.tts(text, speed=prompt.speed or self.pack.speed, seed=SEED).astype(np.float64)


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


def narrow(audio):
    """24 kHz to the telephone band at 8 kHz."""
    # 3400 Hz kept, 4000 Hz (half the new rate) 60 dB down: the consonants' energy above must not fold back.
    taps, beta = signal.kaiserord(60, (4000 - 3400) / 12000)
    audio = signal.resample_poly(audio, 1, 3, window=signal.firwin(taps | 1, 3700, window=("kaiser", beta), fs=24000))
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


def master(prompt, engine):
    """(WAV bytes, milliseconds, report line) of one prompt."""
    audio = levelled(fade(trim(levelled(narrow(engine.speak(prompt))))))
    samples = np.rint(audio * 32767).astype("<i2")
    heard = samples / 32767
    got, peak = level(heard), 20 * np.log10(np.abs(heard).max())
    ms = round(len(samples) * 1000 / RATE)
    if abs(got - TARGET_DBM0) > 0.5:
        raise Failure(f"{prompt.name}: active level {got:.2f} dBm0, wanted {TARGET_DBM0}")
    if peak >= PEAK_DBFS:
        raise Failure(f"{prompt.name}: peak {peak:.2f} dBFS, must stay under {PEAK_DBFS}")
    if not 200 <= ms <= prompt.limit_ms:
        raise Failure(f"{prompt.name}: {ms} ms long, allowed are 200 to {prompt.limit_ms}")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(samples.tobytes())
    return buffer.getvalue(), ms, f"{prompt.name:20} {ms:5} ms  {got:7.2f} dBm0  peak {peak:6.2f} dBFS"


def row(prompt, data, ms):
    return {
        "name": prompt.name,
        "file": f"{prompt.name}.wav",
        "text": prompt.text,
        "sha256": hashlib.sha256(data).hexdigest(),
        "milliseconds": ms,
    }


def toml_value(value):
    if isinstance(value, int):
        return str(value)
    escaped = "".join(
        "\\" + c if c in '"\\' else f"\\u{ord(c):04x}" if ord(c) < 0x20 or ord(c) == 0x7F else c for c in value
    )
    return f'"{escaped}"'


def manifest(pack, rows):
    head = {
        "locale": pack.locale,
        "voice": pack.voice,
        "licence": pack.licence,
        "engine": f"hibari-tts {ENGINE_VERSION}",
        "sample_rate": RATE,
        "level_dbm0": int(TARGET_DBM0),
    }
    blocks = ["# Made by prompts/build.py.\n" + "".join(f"{k} = {toml_value(v)}\n" for k, v in head.items())]
    blocks += ["[[prompt]]\n" + "".join(f"{k} = {toml_value(v)}\n" for k, v in r.items()) for r in rows]
    return "\n".join(blocks)


def present(path):
    """The rows a manifest holds, by name."""
    try:
        import tomllib
    except ImportError as missing:
        raise Failure("Python 3.11 or newer is needed") from missing
    if not path.exists():
        return {}
    try:
        return {r["name"]: r for r in tomllib.loads(path.read_text(encoding="utf-8")).get("prompt", [])}
    except (tomllib.TOMLDecodeError, KeyError) as fault:
        raise Failure(f"{path} cannot be read: {fault}") from fault


def replace(path, data):
    # Whole or not at all: a running gateway may be reading the pack.
    scratch = path.with_name(path.name + ".tmp")
    scratch.write_bytes(data)
    os.replace(scratch, path)


def chosen(pack, args):
    """The prompts this run makes."""
    if args.brand:
        brand = args.brand.strip()
        if not re.search(r"[a-z0-9]", slug(brand)):
            raise Failure(f"--brand {args.brand!r}: a brand needs at least one of a-z, 0-9 to have a file name")
        return [pack.branded(brand, args.say)]
    if args.only:
        known = {p.name: p for p in pack.prompts}
        unknown = [n for n in args.only if n not in known]
        if unknown:
            raise Failure(f"--only {' '.join(unknown)}: no such prompt; there are: {' '.join(known)}")
        return [known[n] for n in args.only]
    return list(pack.prompts)


def main():
    parser = argparse.ArgumentParser(
        description="Synthesise the recorded prompts (8 kHz WAV masters) and their manifest, offline.",
        epilog=f"Needs Python 3.11 or newer and hibari-tts {ENGINE_VERSION}: {INSTALL}",
    )
    parser.add_argument(
        "--pack", choices=sorted(PACKS), default="en-US/hibari", help="pack to build (default: %(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder to write to (default: the pack's, beside this script)"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--only", nargs="+", metavar="NAME", help="make these prompts, keep the other rows")
    what.add_argument("--brand", metavar="NAME", help="add a greeting for this brand, keep the other rows")
    parser.add_argument(
        "--say",
        metavar="TEXT",
        help='with --brand: how the name is read, e.g. "con toso", or phonemes: "[Contoso](/kəntˈOsO/)"',
    )
    parser.add_argument("--list", action="store_true", help="print the prompts of the pack and stop")
    args = parser.parse_args()
    if args.say and not args.brand:
        parser.error("--say goes with --brand")
    pack = PACKS[args.pack]
    out = args.out or Path(__file__).resolve().parent / pack.path

    if args.list:
        for prompt in pack.prompts:
            print(f"{prompt.name:20} {prompt.text}")
        return

    prompts = chosen(pack, args)
    rows = present(out / "manifest.toml")
    if (args.brand or args.only) and not rows:
        raise Failure(f"{out} holds no manifest.toml yet; build the whole pack first")
    for prompt in prompts if args.brand else []:
        if rows.get(prompt.name, {}).get("text", prompt.text) != prompt.text:
            # Two brands with one slug: the second would speak the first one's calls.
            raise Failure(f"{prompt.name} is taken: {rows[prompt.name]['text']!r}; remove its row and file first")
    engine = Engine(pack)
    made = []
    for prompt in prompts:
        data, ms, line = master(prompt, engine)
        print(line)
        made.append((prompt, data, ms))

    out.mkdir(parents=True, exist_ok=True)
    for prompt, data, ms in made:
        replace(out / f"{prompt.name}.wav", data)
        rows[prompt.name] = row(prompt, data, ms)
    order = [p.name for p in pack.prompts if p.name in rows]
    # Rows outside the table are brands added by hand: kept by every build, after the table's own.
    order += sorted(n for n in rows if n not in order)
    replace(out / "manifest.toml", manifest(pack, [rows[n] for n in order]).encode())
    print(f"{len(made)} of {len(order)} prompts written to {out}")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"build.py: {failure}")
