/* The intrinsics that scan.c uses, in plain C, so that its faults can be judged on every processor.
 *
 * `tools/mutate.py` compiles the kernel with this folder in front of the compiler's own headers.
 */

#include <stdint.h>
#include <string.h>

#define __builtin_cpu_supports(feature) 1
#define target(features) unused /* or the compiler would use AVX-512 where it vectorises loops */

typedef struct { int32_t v[4]; } __m128i;
typedef struct { int32_t v[8]; } __m256i;
typedef struct { int32_t v[16]; } __m512i;
typedef struct { float v[16]; } __m512;
typedef uint16_t __mmask16;

#define EMULATED static inline __attribute__((unused))
#define EACH(n, type, value) \
    type r; \
    for (int i = 0; i < n; i++) r.v[i] = value; \
    return r

EMULATED __m128i _mm_add_epi32(__m128i a, __m128i b) { EACH(4, __m128i, a.v[i] + b.v[i]); }
EMULATED __m128i _mm_sub_epi32(__m128i a, __m128i b) { EACH(4, __m128i, a.v[i] - b.v[i]); }
EMULATED __m128i _mm_set1_epi32(int32_t x) { EACH(4, __m128i, x); }
EMULATED void _mm_storeu_si128(__m128i *to, __m128i a) { memcpy(to, &a, sizeof a); }

EMULATED __m256i _mm256_add_epi32(__m256i a, __m256i b) { EACH(8, __m256i, a.v[i] + b.v[i]); }
EMULATED __m128i _mm256_castsi256_si128(__m256i a) { EACH(4, __m128i, a.v[i]); }
EMULATED __m128i _mm256_extracti128_si256(__m256i a, int half) { EACH(4, __m128i, a.v[4 * half + i]); }

EMULATED __m128i _mm_loadu_si128(const __m128i *from) { __m128i r; memcpy(&r, from, sizeof r); return r; }
EMULATED __m256i _mm256_setzero_si256(void) { EACH(8, __m256i, 0); }
EMULATED void _mm256_storeu_si256(__m256i *to, __m256i a) { memcpy(to, &a, sizeof a); }
EMULATED __m256i _mm256_cvtepi8_epi16(__m128i bytes) {
    int8_t b[16];
    int16_t words[16];
    __m256i r;
    memcpy(b, &bytes, sizeof b);
    for (int i = 0; i < 16; i++) words[i] = b[i];
    memcpy(&r, words, sizeof r);
    return r;
}
EMULATED __m256i _mm256_madd_epi16(__m256i a, __m256i b) {
    int16_t x[16], y[16];
    memcpy(x, &a, sizeof x);
    memcpy(y, &b, sizeof y);
    EACH(8, __m256i, x[2 * i] * y[2 * i] + x[2 * i + 1] * y[2 * i + 1]);
}

EMULATED __m512i _mm512_setzero_si512(void) { EACH(16, __m512i, 0); }
EMULATED __m512i _mm512_set1_epi8(char x) { __m512i r; memset(&r, x, sizeof r); return r; }
EMULATED __m512i _mm512_set1_epi32(int32_t x) { EACH(16, __m512i, x); }
EMULATED __m512i _mm512_set_epi32(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j, int k, int l,
                                  int m, int n, int o, int p) {
    return (__m512i){{p, o, n, m, l, k, j, i, h, g, f, e, d, c, b, a}};
}
EMULATED __m512i _mm512_loadu_si512(const void *from) { __m512i r; memcpy(&r, from, sizeof r); return r; }
EMULATED __m512i _mm512_add_epi32(__m512i a, __m512i b) { EACH(16, __m512i, a.v[i] + b.v[i]); }
EMULATED __m512i _mm512_mullo_epi32(__m512i a, __m512i b) { EACH(16, __m512i, a.v[i] * b.v[i]); }
EMULATED __m512i _mm512_xor_si512(__m512i a, __m512i b) { EACH(16, __m512i, a.v[i] ^ b.v[i]); }
/* Within every lane of four: the first or last two of both, in turn; for 64 bits, the first or last pair of both. */
EMULATED __m512i _mm512_unpacklo_epi32(__m512i a, __m512i b) {
    EACH(16, __m512i, (i % 2 ? b : a).v[i / 4 * 4 + i % 4 / 2]);
}
EMULATED __m512i _mm512_unpackhi_epi32(__m512i a, __m512i b) {
    EACH(16, __m512i, (i % 2 ? b : a).v[i / 4 * 4 + i % 4 / 2 + 2]);
}
EMULATED __m512i _mm512_unpacklo_epi64(__m512i a, __m512i b) {
    EACH(16, __m512i, (i % 4 < 2 ? a : b).v[i / 4 * 4 + i % 2]);
}
EMULATED __m512i _mm512_unpackhi_epi64(__m512i a, __m512i b) {
    EACH(16, __m512i, (i % 4 < 2 ? a : b).v[i / 4 * 4 + i % 2 + 2]);
}
EMULATED __m256i _mm512_castsi512_si256(__m512i a) { EACH(8, __m256i, a.v[i]); }
EMULATED __m256i _mm512_extracti64x4_epi64(__m512i a, int half) { EACH(8, __m256i, a.v[8 * half + i]); }
EMULATED int32_t _mm512_reduce_add_epi32(__m512i a) {
    int32_t sum = 0;
    for (int i = 0; i < 16; i++) sum += a.v[i];
    return sum;
}
/* Every sum gains the products of four unsigned bytes with four signed ones. */
EMULATED __m512i _mm512_dpbusd_epi32(__m512i sum, __m512i bytes, __m512i signed_bytes) {
    uint8_t a[64];
    int8_t b[64];
    memcpy(a, &bytes, 64);
    memcpy(b, &signed_bytes, 64);
    for (int i = 0; i < 64; i++) sum.v[i / 4] += a[i] * b[i];
    return sum;
}

EMULATED __m512 _mm512_set1_ps(float x) { EACH(16, __m512, x); }
EMULATED __m512 _mm512_loadu_ps(const void *from) { __m512 r; memcpy(&r, from, sizeof r); return r; }
EMULATED void _mm512_storeu_ps(void *to, __m512 a) { memcpy(to, &a, sizeof a); }
EMULATED void _mm512_mask_storeu_ps(float *to, __mmask16 mask, __m512 a) {
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1) to[i] = a.v[i];
}
EMULATED __m512 _mm512_add_ps(__m512 a, __m512 b) { EACH(16, __m512, a.v[i] + b.v[i]); }
EMULATED __m512 _mm512_mul_ps(__m512 a, __m512 b) { EACH(16, __m512, a.v[i] * b.v[i]); }
EMULATED __m512 _mm512_cvtepi32_ps(__m512i a) { EACH(16, __m512, (float)a.v[i]); }
EMULATED __m512 _mm512_i32gather_ps(__m512i places, const float *from, int scale) {
    EACH(16, __m512, from[places.v[i] * scale / 4]);
}
