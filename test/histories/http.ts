import { Agent, request } from 'node:http';
import { type Interval, now } from './history.js';

/** Kept-alive connections; node:http costs a client half of what fetch does, and it is the reads that count. */
const agent = new Agent({ keepAlive: true });

export interface Exchange {
  readonly status: number;
  readonly replayed: boolean;
  readonly text: string;
}

/** A request, from when it was sent until its client had an answer, gave it up, or met its connection's end. */
export interface Sent extends Interval {
  readonly url: string;
  readonly outcome: 'answered' | 'given up' | 'broken';
  /** What broke it. */
  readonly error?: string;
}

/** All that this process sent, for those who judge a run. */
export const sent: Sent[] = [];

/** POST with a body, unless another method is asked for; GET without. Rejects when there is no whole answer in time. */
export async function exchange(
  url: string,
  options: { headers: Record<string, string>; body: string | undefined; patienceMs: number; method?: string },
): Promise<Exchange> {
  const from = now();
  const signal = AbortSignal.timeout(options.patienceMs);
  try {
    const answer = await ask(url, options, signal);
    sent.push({ url, from, to: now(), outcome: 'answered' });
    return answer;
  } catch (error) {
    const outcome = signal.aborted ? 'given up' : 'broken';
    sent.push({ url, from, to: now(), outcome, error: String(error) });
    throw signal.aborted ? signal.reason : error;
  }
}

function ask(
  url: string,
  { headers, body, method = body === undefined ? 'GET' : 'POST' }: Parameters<typeof exchange>[1],
  signal: AbortSignal,
): Promise<Exchange> {
  return new Promise((resolve, reject) => {
    const asking = request(url, { agent, method, headers, signal }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (chunk) => {
        text += chunk;
      });
      answer.on('error', reject);
      answer.on('end', () => {
        const replayed = answer.headers['idempotent-replayed'] === 'true';
        if (answer.complete) resolve({ status: answer.statusCode ?? 0, replayed, text });
        else reject(new Error('half an answer'));
      });
    });
    asking.on('error', (error) => {
      if (asking.reusedSocket) error.message += ' on a connection that had been used';
      reject(error);
    });
    asking.end(body);
  });
}
