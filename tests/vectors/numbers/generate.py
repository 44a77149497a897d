"""Writes refused.tsv: numbers that must never be reached, as PyPI `phonenumbers` knows them.

    pip install phonenumbers==9.0.43 && python3 generate.py > refused.tsv

Kinds of E.164 numbers come from its examples of each country's numbering plan and of the networks that
belong to no country. Short and emergency numbers have no E.164 form: they are written as people would try
to smuggle them in, alone and behind the country code, and only where no such E.164 number exists.
"""

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType, ShortNumberCost, shortnumberinfo

KINDS = [
    ("premium", PhoneNumberType.PREMIUM_RATE, 48),
    ("shared_cost", PhoneNumberType.SHARED_COST, 20),
    ("uan", PhoneNumberType.UAN, 20),
    ("pager", PhoneNumberType.PAGER, 12),
    ("voicemail", PhoneNumberType.VOICEMAIL, 6),
    ("personal", PhoneNumberType.PERSONAL_NUMBER, 10),
    ("toll_free", PhoneNumberType.TOLL_FREE, 24),
]
# Countries whose networks are dear, or belong to nobody: satellites, international networks, and the like.
NETWORKS = ["870", "878", "881", "882", "883", "808", "979"]


def row(number, where, kind):
    print(f"{number}\t{where}\t{kind}")


def main():
    print("# number\tcountry\tkind; written by generate.py with phonenumbers " + phonenumbers.__version__)
    seen = set()
    for kind, wanted, most in KINDS:
        found = 0
        for region in sorted(phonenumbers.SUPPORTED_REGIONS):
            example = phonenumbers.example_number_for_type(region, wanted)
            if example is None or found == most:
                continue
            text = phonenumbers.format_number(example, PhoneNumberFormat.E164)
            if text in seen or not phonenumbers.is_valid_number(example):
                continue
            if phonenumbers.number_type(example) != wanted:
                continue
            seen.add(text)
            found += 1
            row(text, region, kind)
    for code in NETWORKS:
        example = phonenumbers.example_number_for_non_geo_entity(int(code))
        text = phonenumbers.format_number(example, PhoneNumberFormat.E164)
        # Two of each: the example, and the one behind it.
        digits = text[:-1] + str((int(text[-1]) + 1) % 10)
        for number in [text, digits]:
            if phonenumbers.is_valid_number(phonenumbers.parse(number)):
                row(number, "001", "network")
    for kind, cost, most in [("short", ShortNumberCost.PREMIUM_RATE, 14), ("emergency", None, 14)]:
        found = 0
        for region in sorted(phonenumbers.SUPPORTED_REGIONS):
            if cost is None:
                numbers = [n for n in ("112", "911", "110", "999", "000") if shortnumberinfo.is_emergency_number(n, region)]
                short = numbers[0] if numbers else ""
            else:
                short = shortnumberinfo._example_short_number_for_cost(region, cost)
            if not short or found == most:
                continue
            code = phonenumbers.country_code_for_region(region)
            behind = f"+{code}{short}"
            if phonenumbers.is_valid_number(phonenumbers.parse(behind)):
                continue
            found += 1
            row(short, region, kind)
            row(behind, region, kind)


main()
