/* The scan of scan_kernel.py: approximate scores of int8 rows, several spaces in one pass.
 *
 * There are three ways to compute the dots of a query with rows: plain C on every processor, and on x86 with AVX2 or with
 * AVX-512 VNNI. Dots are exact integers. Each space adds factor * dot, then offset * on, in float32 and in this order, as
 * scan_kernel.py does in numpy: all give the same bits (no fused multiply-add: -ffp-contract=off). A row without active
 * spaces scores -inf.
 */

#include <math.h>
#include <stdint.h>

enum { QUERIES = 16, BLOCK = 512, AHEAD = 4096 };
enum { PLAIN, AVX2, VNNI }; /* the ways, from slow to fast */

typedef struct {
    const int8_t *rows; /* (n, dim) */
    const uint8_t *on;  /* (n,) */
    const int8_t *query;
    int64_t dim;
    float factor, offset;
} Term;

typedef struct {
    const int8_t *rows;
    const uint8_t *on;
    const uint8_t *packed; /* (dim / 4, QUERIES, 4): queries + 128 */
    int64_t dim;           /* a multiple of 64 */
    float factor[QUERIES], offset[QUERIES];
    uint16_t active; /* bit q: query q weighs this space */
} BatchTerm;

static inline int32_t dot(const int8_t *a, const int8_t *b, int64_t from, int64_t to) {
    int32_t sum = 0;
    for (int64_t j = from; j < to; j++) sum += (int32_t)a[j] * b[j];
    return sum;
}

/* dots (size,) of a query with rows; `positions` NULL: rows first, first + 1, ... `left` positions follow, `size` or more. */
typedef void Dots(const Term *term, const int64_t *positions, int64_t first, int64_t size, int64_t left, int32_t *out);

static void dots_plain(const Term *term, const int64_t *positions, int64_t first, int64_t size, int64_t left, int32_t *out) {
    (void)left; /* of use to the others, which ask for later rows ahead of time */
    for (int64_t i = 0; i < size; i++)
        out[i] = dot(term->rows + (positions ? positions[i] : first + i) * term->dim, term->query, 0, term->dim);
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

typedef int32_t four_bytes __attribute__((may_alias, aligned(1)));

#define FOR_AVX2 __attribute__((target("avx2")))
#define FOR_VNNI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))

/* The fastest way that this processor has. */
int scan_best(void) {
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vnni"))
        return VNNI;
    return __builtin_cpu_supports("avx2") ? AVX2 : PLAIN;
}

FOR_AVX2 static inline __m256i load16(const int8_t *bytes) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)bytes));
}

FOR_AVX2 static void dots_avx2(const Term *term, const int64_t *positions, int64_t first, int64_t size, int64_t left,
                               int32_t *out) {
    const int64_t dim = term->dim, full = dim / 16 * 16;
    for (int64_t i = 0; i < size; i++) {
        const int8_t *row = term->rows + (positions ? positions[i] : first + i) * dim;
        if (positions) {
            const int8_t *next = term->rows + positions[i + 16 < left ? i + 16 : left - 1] * dim;
            for (int64_t p = 0; p < dim; p += 64) __builtin_prefetch(next + p);
        }
        __m256i sum = _mm256_setzero_si256();
        for (int64_t p = 0; p < full; p += 16)
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(load16(row + p), load16(term->query + p)));
        int32_t parts[8];
        _mm256_storeu_si256((__m256i *)parts, sum);
        out[i] = dot(row, term->query, full, dim);
        for (int part = 0; part < 8; part++) out[i] += parts[part];
    }
}

/* The sums of four vectors of 16 int32. */
FOR_VNNI static inline __m128i sum4(__m512i a, __m512i b, __m512i c, __m512i d) {
    __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    __m512i all = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

/* The instruction multiplies unsigned by signed bytes: x + 128 is fed to it, and 128 sum(q) taken off again. */
FOR_VNNI static void dots_vnni(const Term *term, const int64_t *positions, int64_t first, int64_t size, int64_t left,
                               int32_t *out) {
    const __m512i flip = _mm512_set1_epi8((char)0x80);
    const int64_t dim = term->dim, whole = dim / 64 * 64;
    int64_t i = 0, flipped = 0;
    for (int64_t j = 0; j < whole; j++) flipped += 128 * term->query[j];
    for (; i + 4 <= size; i += 4) {
        const int8_t *r[4];
        for (int j = 0; j < 4; j++) {
            int64_t at = positions ? positions[i + j] : first + i + j;
            r[j] = term->rows + at * dim;
            const int8_t *next = positions ? term->rows + positions[i + j + 16 < left ? i + j + 16 : left - 1] * dim
                                           : r[j] + AHEAD;
            for (int64_t p = 0; p < dim; p += 64) __builtin_prefetch(next + p);
        }
        __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
        for (int64_t p = 0; p < whole; p += 64) {
            const __m512i q = _mm512_loadu_si512(term->query + p);
            a = _mm512_dpbusd_epi32(a, _mm512_xor_si512(_mm512_loadu_si512(r[0] + p), flip), q);
            b = _mm512_dpbusd_epi32(b, _mm512_xor_si512(_mm512_loadu_si512(r[1] + p), flip), q);
            c = _mm512_dpbusd_epi32(c, _mm512_xor_si512(_mm512_loadu_si512(r[2] + p), flip), q);
            d = _mm512_dpbusd_epi32(d, _mm512_xor_si512(_mm512_loadu_si512(r[3] + p), flip), q);
        }
        _mm_storeu_si128((__m128i *)(out + i), _mm_sub_epi32(sum4(a, b, c, d), _mm_set1_epi32((int32_t)flipped)));
        if (whole < dim)
            for (int j = 0; j < 4; j++) out[i + j] += dot(r[j], term->query, whole, dim);
    }
    for (; i < size; i++) out[i] = dot(term->rows + (positions ? positions[i] : first + i) * dim, term->query, 0, dim);
}

/* Scores (QUERIES, stride) of sixteen queries for the rows first..., of which there are `count`. For VNNI alone. */
FOR_VNNI void scan_batch(const BatchTerm *terms, int64_t n_terms, int64_t first, int64_t count, int64_t stride, float *out) {
    enum { TILE = 64, STEP = 8 };
    const __m512i ones = _mm512_set1_epi8(1);
    const __m512i columns = _mm512_mullo_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                                               _mm512_set1_epi32(QUERIES));
    for (int64_t base = 0; base < count; base += TILE) {
        const int64_t size = count - base < TILE ? count - base : TILE;
        float tile[TILE * QUERIES] = {0};
        uint16_t active[TILE] = {0};
        for (const BatchTerm *term = terms; term < terms + n_terms; term++) {
            const int64_t dim = term->dim;
            const __m512 factor = _mm512_loadu_ps(term->factor), offset = _mm512_loadu_ps(term->offset);
            for (int64_t step = 0; step < size; step += STEP) {
                const int64_t top = count - 1; /* rows past the end are computed as the last one, and not stored */
                const int8_t *r[STEP];
                int64_t at[STEP];
                __m512i sum[STEP];
                for (int i = 0; i < STEP; i++) {
                    at[i] = first + (base + step + i < top ? base + step + i : top);
                    r[i] = term->rows + at[i] * dim;
                    __m512i own = _mm512_setzero_si512();
                    for (int64_t p = 0; p < dim; p += 64) {
                        __builtin_prefetch(r[i] + AHEAD + p);
                        own = _mm512_dpbusd_epi32(own, ones, _mm512_loadu_si512(r[i] + p));
                    }
                    sum[i] = _mm512_set1_epi32(-128 * _mm512_reduce_add_epi32(own));
                }
                for (int64_t p = 0; p < dim; p += 4) {
                    const __m512i q = _mm512_loadu_si512(term->packed + p * QUERIES);
                    for (int i = 0; i < STEP; i++)
                        sum[i] = _mm512_dpbusd_epi32(sum[i], q, _mm512_set1_epi32(*(const four_bytes *)(r[i] + p)));
                }
                for (int i = 0; i < STEP; i++) {
                    const uint8_t on = term->on[at[i]];
                    float *total = tile + (step + i) * QUERIES;
                    __m512 x = _mm512_add_ps(_mm512_loadu_ps(total), _mm512_mul_ps(_mm512_cvtepi32_ps(sum[i]), factor));
                    _mm512_storeu_ps(total, _mm512_add_ps(x, _mm512_mul_ps(_mm512_set1_ps((float)on), offset)));
                    active[step + i] |= on ? term->active : 0;
                }
            }
        }
        for (int64_t i = 0; i < size; i++)
            _mm512_mask_storeu_ps(tile + i * QUERIES, (__mmask16)~active[i], _mm512_set1_ps(-INFINITY));
        for (int64_t step = 0; step < size; step += 16) {
            const __mmask16 there = size - step < 16 ? (__mmask16)((1u << (size - step)) - 1) : 0xffff;
            for (int q = 0; q < QUERIES; q++)
                _mm512_mask_storeu_ps(out + q * stride + base + step, there,
                                      _mm512_i32gather_ps(columns, tile + step * QUERIES + q, 4));
        }
    }
}

static Dots *const DOTS[] = {dots_plain, dots_avx2, dots_vnni};
#else
int scan_best(void) { return PLAIN; }
static Dots *const DOTS[] = {dots_plain};
#endif

/* Scores (count,) of one query for the rows first..., or for those at `positions` (count,). */
void scan(int way, const Term *terms, int64_t n_terms, const int64_t *positions, int64_t first, int64_t count, float *out) {
    for (int64_t base = 0; base < count; base += BLOCK) {
        const int64_t size = count - base < BLOCK ? count - base : BLOCK;
        const int64_t *places = positions ? positions + base : 0;
        float total[BLOCK] = {0};
        uint8_t active[BLOCK] = {0};
        int32_t found[BLOCK];
        for (const Term *term = terms; term < terms + n_terms; term++) {
            DOTS[way](term, places, first + base, size, count - base, found);
            for (int64_t i = 0; i < size; i++) {
                const uint8_t on = term->on[places ? places[i] : first + base + i];
                total[i] += (float)found[i] * term->factor;
                total[i] += (float)on * term->offset;
                active[i] |= on;
            }
        }
        for (int64_t i = 0; i < size; i++) out[base + i] = active[i] ? total[i] : -INFINITY;
    }
}
