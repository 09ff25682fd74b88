import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Heard, type Noise, NoiseCallers } from './noise-callers.js';

type ToNoise = { begin: Noise } | 'hear' | 'end';
type FromNoise = { slowPort: number } | { heard: Heard } | 'too many';

/** Who makes the noise, a process of its own, as the harness sees it. One noise at a time. */
export class NoiseProcess {
  readonly #child: ChildProcess;
  /** Where webhooks are received that nobody answers until the noise ends. */
  readonly slowPort: number;
  #onTooMany: () => void = () => undefined;

  private constructor(child: ChildProcess, slowPort: number) {
    this.#child = child;
    this.slowPort = slowPort;
    child.on('message', (message: FromNoise) => {
      if (message === 'too many') this.#onTooMany();
    });
  }

  static async start(): Promise<NoiseProcess> {
    const child = fork(import.meta.filename, ['noise'], { execArgv: ['--enable-source-maps'] });
    const [said] = (await once(child, 'message')) as [{ slowPort: number }];
    return new NoiseProcess(child, said.slowPort);
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** Resolves at its first answer of 429: its budget is used up. */
  begin(noise: Noise): Promise<void> {
    const refused = new Promise<void>((resolve) => {
      this.#onTooMany = resolve;
    });
    this.#child.send({ begin: noise } satisfies ToNoise);
    return refused;
  }

  /** What came of it since it began, or was last asked. */
  hear(): Promise<Heard> {
    return this.#ask('hear');
  }

  /** The same, when the last request has been answered. */
  end(): Promise<Heard> {
    return this.#ask('end');
  }

  stop(): void {
    this.#child.disconnect();
  }

  #ask(message: 'hear' | 'end'): Promise<Heard> {
    return new Promise((resolve) => {
      const told = (answer: FromNoise): void => {
        if (typeof answer === 'string' || !('heard' in answer)) return;
        this.#child.removeListener('message', told);
        resolve(answer.heard);
      };
      this.#child.on('message', told);
      this.#child.send(message satisfies ToNoise);
    });
  }
}

async function makeNoise(): Promise<void> {
  const waiting = new Set<ServerResponse>();
  const slow = createServer((request, response) => {
    request.resume();
    waiting.add(response);
    response.once('close', () => waiting.delete(response));
  });
  slow.listen(0, '127.0.0.1');
  await once(slow, 'listening');
  let callers: NoiseCallers | undefined;
  process.on('message', async (message: ToNoise) => {
    if (typeof message !== 'string') {
      let isTold = false;
      callers = new NoiseCallers(message.begin, () => {
        if (!isTold) tell('too many');
        isTold = true;
      });
      return;
    }
    if (!callers) throw new Error('there is no noise');
    if (message === 'end') {
      await callers.end();
      for (const response of waiting) response.writeHead(204).end();
    }
    tell({ heard: callers.heard() });
  });
  process.on('disconnect', () => process.exit(0));
  tell({ slowPort: (slow.address() as AddressInfo).port });
}

function tell(message: FromNoise): void {
  process.send?.(message);
}

if (process.argv[2] === 'noise') await makeNoise();
