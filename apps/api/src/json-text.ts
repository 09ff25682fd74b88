import { Turn } from '#platform/turns.js';

/** So many characters become bytes at once, some 0.1 ms. */
const PIECE_LENGTH = 65_536;

/** An answer that is JSON already: a text, or bytes where it is long. */
export class JsonText {
  constructor(readonly payload: string | Buffer) {}
}

/** `{"<name>":[<items>]}` and the members of `rest`, of items that are JSON already. */
export async function jsonList(name: string, items: readonly string[], rest: object = {}): Promise<JsonText> {
  const members = JSON.stringify(rest).slice(1);
  const [head, tail] = [`{${JSON.stringify(name)}:[`, `]${members === '}' ? '' : ','}${members}`];
  const pieces: Buffer[] = [];
  const turn = new Turn();
  let begin = 0;
  let length = 0;
  for (const [index, item] of items.entries()) {
    length += item.length;
    if (length < PIECE_LENGTH) continue;
    pieces.push(Buffer.from(`${items.slice(begin, index + 1).join(',')}${index + 1 < items.length ? ',' : ''}`));
    [begin, length] = [index + 1, 0];
    if (turn.isOver) await turn.next();
  }
  const last = `${items.slice(begin).join(',')}${tail}`;
  if (pieces.length === 0) return new JsonText(`${head}${last}`);
  return new JsonText(Buffer.concat([Buffer.from(head), ...pieces, Buffer.from(last)]));
}

/** For `setReplySerializer`: of everything that is sent as JSON. */
export function serialized(answer: unknown): string {
  // Its type knows of texts alone; Fastify sends bytes as well.
  return answer instanceof JsonText ? (answer.payload as string) : JSON.stringify(answer);
}
