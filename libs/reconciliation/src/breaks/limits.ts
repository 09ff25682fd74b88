/** Comments of one break, rejections among them: its row is written anew with each. */
export const MAX_COMMENTS = 200;
export const MAX_TEXT = 2_000;
/** A reason is the description of what is posted, too. */
export const MAX_REASON = 500;
/** Items of one match by hand. */
export const MAX_CHOSEN = 100;
/** Lines of one file of proposals. */
export const MAX_PROPOSALS = 1_000;
