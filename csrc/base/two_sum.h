/* Sums that keep their digits, however many terms they have. Included by what sums over windows, images and batches.
 *
 * At most PART_TERMS terms are added one after the other. Such a part goes into a total, and what rounding takes from
 * the total is summed beside it (Knuth's two-sum): the error is that of one part. */
#ifndef FC_TWO_SUM_H
#define FC_TWO_SUM_H

enum { PART_TERMS = 16 };

/* Adds `part` to the total sum + rest; `type` is a floating-point number, or a vector of them. */
#define ADD_PART(type, sum, rest, part)                                                                                \
    do {                                                                                                               \
        type whole_ = (sum) + (part), shown_ = whole_ - (sum);                                                         \
        (rest) += ((sum) - (whole_ - shown_)) + ((part) - shown_);                                                     \
        (sum) = whole_;                                                                                                \
    } while (0)

/* Of an infinite sum, or one of NaN, the rest is nothing but NaN. */
#define TOTAL(sum, rest) ((sum) - (sum) == 0 ? (sum) + (rest) : (sum))

#endif
