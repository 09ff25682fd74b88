import { setImmediate as nextTurn } from 'node:timers/promises';

/** What the call says, or what `late` throws where it says nothing within that time. */
export async function answeredWithin<T>(timeoutMs: number, call: Promise<T>, late: () => Error): Promise<T> {
  let answered = false;
  let timer: NodeJS.Timeout | undefined;
  const isLate = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(async () => {
      // When this process itself was busy, the answer lies in the socket: one turn of the event loop reads it.
      await nextTurn();
      if (!answered) reject(late());
    }, timeoutMs);
  });
  try {
    return await Promise.race([call, isLate]);
  } finally {
    answered = true;
    clearTimeout(timer);
  }
}
