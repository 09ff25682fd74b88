const BEYOND_ASCII = /[^\x20-\x7e]/;
const BEYOND_LATIN_1 = /[\u0100-\uffff]/;
const UTF8 = new TextDecoder('utf-8', { fatal: true });

/** Of bytes that were read as Latin-1 what they say: UTF-8 if they are that. A file may be either, and both; what is decoded already stays. */
export function decoded(latin1: string): string {
  if (!BEYOND_ASCII.test(latin1) || BEYOND_LATIN_1.test(latin1)) return latin1;
  try {
    return UTF8.decode(Buffer.from(latin1, 'latin1'));
  } catch {
    return latin1;
  }
}
