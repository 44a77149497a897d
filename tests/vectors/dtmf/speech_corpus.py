#!/usr/bin/env python3
"""Builds the talk-off corpus from installed Debian packages: 8 kHz mono 16-bit WAV, one per source file.

Install first (Debian 12): asterisk-core-sounds-{en,es,fr,it,ru}-wav asterisk-prompt-es-co
asterisk-prompt-fr-armelle asterisk-prompt-it-menardi-wav asterisk-moh-opsound-wav
pocketsphinx-testdata klettres-data sox libsox-fmt-all

Usage: speech_corpus.py OUT_DIR            writes OUT_DIR/PACKAGE/NNNN.wav and OUT_DIR/index.csv
The audio itself is not part of this repository: the licences differ.
"""
import csv, os, subprocess, sys, wave
PK = ["asterisk-core-sounds-en-wav", "asterisk-core-sounds-es-wav", "asterisk-core-sounds-fr-wav",
      "asterisk-core-sounds-it-wav", "asterisk-core-sounds-ru-wav", "asterisk-prompt-es-co",
      "asterisk-prompt-fr-armelle", "asterisk-prompt-it-menardi-wav", "asterisk-moh-opsound-wav",
      "pocketsphinx-testdata", "klettres-data"]
EXT = (".wav", ".gsm", ".ogg", ".raw", ".flac")


def main(out):
    os.makedirs(out, exist_ok=True)
    rows = []
    for p in PK:
        files = subprocess.run(["dpkg", "-L", p], capture_output=True, text=True).stdout.split("\n")
        files = sorted({os.path.realpath(f) for f in files if f.lower().endswith(EXT) and os.path.isfile(f)})
        os.makedirs(os.path.join(out, p), exist_ok=True)
        sec = 0.0
        for i, f in enumerate(files):
            o = os.path.join(out, p, f"{i:04d}.wav")
            pre = ["-t", "raw", "-r", "16000", "-e", "signed", "-b", "16", "-c", "1"] if f.endswith(".raw") else []
            r = subprocess.run(["sox", "-D", *pre, f, "-r", "8000", "-c", "1", "-b", "16", "-e", "signed", o],
                               capture_output=True)
            if r.returncode:
                continue
            with wave.open(o) as w:
                d = w.getnframes() / 8000
            sec += d
            rows.append([p, f"{i:04d}.wav", os.path.basename(f), round(d, 3)])
        print(f"{p:34s} {len(files):5d} files {sec / 60:8.1f} min", file=sys.stderr)
    with open(os.path.join(out, "index.csv"), "w", newline="") as fh:
        w = csv.writer(fh)
        w.writerow(["package", "wav", "source_name", "seconds"])
        w.writerows(rows)


main(sys.argv[1])
