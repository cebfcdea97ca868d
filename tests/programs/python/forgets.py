"""A service that forgets one file in seven, and is stopped: the interpreter closes them all as it ends."""

import time

kept = []


def load(number):
    file = open("/etc/hostname")
    if number % 7 == 0:
        kept.append(file)
    else:
        file.close()


for number in range(1500):
    load(number)
    time.sleep(0.002)
