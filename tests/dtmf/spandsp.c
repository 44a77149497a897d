// The same work done by spandsp's DTMF receiver: the judge's yardstick.
//
// spandsp < LIST          prints path, key and sample of each key, with tabs between
// spandsp PASSES < LIST   prints channel-seconds for a second of one core: the best pass
//
// LIST has the path of a WAV file on each line: 8,000 samples a second, one channel, 16 bits. The
// sample of a key is where the audio was when it was reported, in steps of a millisecond.
// Build it with: cc -O2 -o spandsp spandsp.c -lspandsp
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <tiffio.h>
#include <spandsp.h>

#define FRAME 160
#define STEP 8

static const char *path;
static long position;

static void report(void *user, int code, int level, int delay)
{
    (void)user;
    (void)level;
    (void)delay;
    if (code)
        printf("%s\t%c\t%ld\n", path, code, position);
}

static double cpu_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec + now.tv_nsec * 1e-9;
}

/* The samples of a WAV file, and how many they are. */
static int16_t *samples(const char *name, long *count)
{
    FILE *file = fopen(name, "rb");
    if (!file) {
        perror(name);
        exit(1);
    }
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(size);
    if (!bytes || fread(bytes, 1, size, file) != (size_t)size) {
        fprintf(stderr, "%s cannot be read\n", name);
        exit(1);
    }
    fclose(file);
    long at = 12;
    uint32_t length = 0;
    while (at + 8 <= size) {
        memcpy(&length, bytes + at + 4, 4);
        if (!memcmp(bytes + at, "data", 4))
            break;
        at += 8 + length + (length & 1);
    }
    at += 8;
    if (at > size) {
        fprintf(stderr, "%s is no WAV file\n", name);
        exit(1);
    }
    if (length > size - at)
        length = size - at;
    int16_t *out = malloc(length + 2);
    memcpy(out, bytes + at, length / 2 * 2);
    free(bytes);
    *count = length / 2;
    return out;
}

static dtmf_rx_state_t *receiver(void)
{
    dtmf_rx_state_t *state = dtmf_rx_init(NULL, NULL, NULL);
    dtmf_rx_parms(state, 0, -1, -1, -99);
    return state;
}

int main(int argc, char **argv)
{
    int passes = argc > 1 ? atoi(argv[1]) : 0;
    double *took = calloc(passes + 1, sizeof *took);
    long all = 0;
    char line[4096];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        path = line;
        long count;
        int16_t *audio = samples(path, &count);
        all += count;
        for (int pass = 0; pass < passes; pass++) {
            dtmf_rx_state_t *state = receiver();
            double began = cpu_time();
            for (long at = 0; at + FRAME <= count; at += FRAME)
                dtmf_rx(state, audio + at, FRAME);
            took[pass] += cpu_time() - began;
            dtmf_rx_free(state);
        }
        if (!passes) {
            dtmf_rx_state_t *state = receiver();
            dtmf_rx_set_realtime_callback(state, report, NULL);
            for (position = 0; position < count;) {
                long at = position;
                long step = count - at < STEP ? count - at : STEP;
                position += step;
                dtmf_rx(state, audio + at, step);
            }
            dtmf_rx_free(state);
        }
        free(audio);
    }
    double best = 0;
    for (int pass = 0; pass < passes; pass++)
        if (!best || took[pass] < best)
            best = took[pass];
    if (passes)
        printf("%.0f\n", all / 8000.0 / best);
    return 0;
}
