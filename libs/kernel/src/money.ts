/**
 * Money is a `bigint` count of minor units plus an ISO 4217 currency. One entry carries at most 2^53-1 minor units (what a
 * JSON integer can say exactly); a balance total stays below 2^62, so that no sum of two of them leaves PostgreSQL's int8.
 */
export const MAX_AMOUNT = 9_007_199_254_740_991n;
export const MAX_TOTAL = 4_611_686_018_427_387_904n;
