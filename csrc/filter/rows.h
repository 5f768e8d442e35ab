/* Rows of pictures as reals: read with their borders, and written as the result's type. Called by sums.c and means.c.
 *
 * Rows are read once for a task, so that what they are converted to and the sums of their windows stay in cache; no
 * picture is copied, nor padded. */
#ifndef FC_FILTER_ROWS_H
#define FC_FILTER_ROWS_H

#include "filter/bands.h"

#define ROUNDER ((real)(FC_DOUBLE ? 0x1.8p52 : 0x1.8p23)) /* added, it leaves no room for what follows the point */
#define ROUND(value) (((value) + ROUNDER) - ROUNDER)

/* Pixels `first`, ... of row `row`, both as the windows number them. */
void FC_NAME(filter_read_row)(real *to, const fc_filter *f, const char *image, int64_t row, int64_t first,
                              int64_t pixels);

/* The second of two passes sees the constant beyond the ends of a row, not what the first made of it. */
void FC_NAME(filter_renew_constant)(real *row, const fc_filter *f, int64_t first, int64_t pixels);

/* What lies between two passes, as f->between holds it. */
void FC_NAME(filter_narrow)(real *row, const fc_filter *f, int64_t n);

/* Row `row` of a task's results; `from`, which has room for a vector more, is used up. */
void FC_NAME(filter_write_row)(char *out, const fc_filter *f, const band *b, int64_t row, real *from);

#endif
