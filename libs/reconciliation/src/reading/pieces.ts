export const PIECE_BYTES = 65_536;

/**
 * The same bytes in pieces of PIECE_BYTES, the last one shorter: what is read does not depend on how it was sent, and whoever sends
 * byte by byte does not make us begin a row anew for each. A piece is overwritten when the next one is asked for.
 */
export async function* pieces(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const piece = Buffer.allocUnsafe(PIECE_BYTES);
  let filled = 0;
  for await (const chunk of bytes) {
    for (let taken = 0; taken < chunk.length; ) {
      const next = chunk.subarray(taken, taken + PIECE_BYTES - filled);
      piece.set(next, filled);
      filled += next.length;
      taken += next.length;
      if (filled < PIECE_BYTES) continue;
      yield piece;
      filled = 0;
    }
  }
  if (filled > 0) yield piece.subarray(0, filled);
}
