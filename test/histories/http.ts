import { Agent, request } from 'node:http';

/** Kept-alive connections; node:http costs a client half of what fetch does, and it is the reads that count. */
const agent = new Agent({ keepAlive: true });

export interface Exchange {
  readonly status: number;
  readonly replayed: boolean;
  readonly text: string;
}

/** POST with a body, unless another method is asked for; GET without. Rejects when there is no whole answer in time. */
export function exchange(
  url: string,
  options: { headers: Record<string, string>; body: string | undefined; patienceMs: number; method?: string },
): Promise<Exchange> {
  const { headers, body, patienceMs, method = body === undefined ? 'GET' : 'POST' } = options;
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(patienceMs);
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
    asking.on('error', (error) => reject(signal.aborted ? signal.reason : error));
    asking.end(body);
  });
}
