/** What nobody sees: white space, controls, and what fonts leave out. */
const SEEN = /[^\s\p{Cc}\p{Default_Ignorable_Code_Point}]/u;
const UNSEEN = /\p{Default_Ignorable_Code_Point}/gu;

/** Whether there is anything in it to be read. */
export function isReadable(text: string): boolean {
  return SEEN.test(text);
}

/**
 * What two texts have in common that people read as one: neither case nor the form of characters tells them apart, nor how much space there is,
 * nor what nobody sees. By way of upper case, which has one letter for several small ones (Unicode’s case folding, which JavaScript lacks).
 */
export function foldedText(text: string): string {
  const folded = text.normalize('NFKC').replace(UNSEEN, '').toLowerCase().toUpperCase().toLowerCase().normalize('NFKC');
  return folded.replace(/\s+/gu, ' ').trim();
}
