/* Sums that keep their digits, however many terms they have. Included by what sums over windows, images and batches.
 *
 * At most PART_TERMS terms are added one after the other. Such a part goes into a total, and what rounding takes from
 * the total is added to the next part (Kahan 1965): the error is that of one part. */
#ifndef FC_COMPENSATED_H
#define FC_COMPENSATED_H

enum { PART_TERMS = 16 };

/* Adds `part` to the total `sum + rest`, both of `type`, a floating-point number. What an infinite sum loses is not a
 * number, and is left out. */
#define ADD_PART(type, sum, rest, part)                                                                                \
    do {                                                                                                               \
        type own_ = (part) + (rest), whole_ = (sum) + own_, lost_ = own_ - (whole_ - (sum));                           \
        (rest) = lost_ - lost_ == 0 ? lost_ : 0;                                                                       \
        (sum) = whole_;                                                                                                \
    } while (0)

#endif
