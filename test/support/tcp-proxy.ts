import { connect, createServer, type NetConnectOpts, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** PostgreSQL's simple-query message COMMIT: the last thing that a commit group sends. */
export const COMMIT = simpleQuery('COMMIT');
/** The answer to it. */
const COMMITTED = Buffer.from('COMMIT\0', 'latin1');

export function simpleQuery(text: string): Buffer {
  const message = Buffer.from(`Q    ${text}\0`);
  message.writeInt32BE(message.length - 1, 1);
  return message;
}

/** One connection through the proxy. */
export interface Link {
  readonly client: Socket;
  readonly server: Socket;
  /** What the client sent last. */
  tail: Buffer;
}

/** How slowly bytes arrive on the other side: so much later, and at most so many in a second. */
export interface Pace {
  readonly lagMs: () => number;
  readonly bytesPerSecond: number;
}

/** One direction of a connection: what is slow arrives in its order all the same. */
class Lane {
  #waiting = 0;
  #freeAtMs = 0;
  #last: Promise<void> = Promise.resolve();

  pass(bytes: Buffer, pace: Pace | undefined, deliver: (bytes: Buffer) => void): void {
    if (!pace && this.#waiting === 0) {
      deliver(bytes);
      return;
    }
    const nowMs = performance.now();
    this.#freeAtMs = Math.max(this.#freeAtMs, nowMs) + (pace ? (bytes.length / pace.bytesPerSecond) * 1_000 : 0);
    const atMs = this.#freeAtMs + (pace?.lagMs() ?? 0);
    this.#waiting += 1;
    this.#last = this.#last.then(async () => {
      await sleep(Math.max(0, atMs - performance.now()));
      this.#waiting -= 1;
      deliver(bytes);
    });
  }
}

/** What to do with a message: called once with the link, and with what delivers the message after all. */
type Fault = (link: Link, deliver: () => void) => void;

/** A proxy on 127.0.0.1 before PostgreSQL or Redis that loses, holds and cuts what a test tells it to. */
export class TcpProxy {
  readonly #listener: Server;
  readonly #target: URL;
  readonly #links = new Set<Link>();
  readonly #silent = new Set<Link>();
  #faults: { message: Buffer; fault: Fault }[] = [];
  readonly #counters: { message: Buffer; seen: number }[] = [];
  #refusing = false;
  #stalled = false;
  #pace: Pace | undefined;
  /** Asked about every chunk on its way to the server; true: it has taken it, and delivers it or not. */
  onChunk: (link: Link, bytes: Buffer) => boolean = () => false;

  private constructor(listener: Server, target: URL) {
    this.#listener = listener;
    this.#target = target;
  }

  static async open(url: string): Promise<TcpProxy> {
    const listener = createServer();
    const proxy = new TcpProxy(listener, new URL(url));
    listener.on('connection', (client) => proxy.#link(client));
    await new Promise<void>((resolve) => {
      listener.listen(0, '127.0.0.1', resolve);
    });
    return proxy;
  }

  /** The URL that it was opened with, by way of the proxy. */
  get url(): string {
    const url = new URL(this.#target);
    const address = this.#listener.address();
    if (address === null || typeof address === 'string') throw new Error('the proxy does not listen');
    url.host = `127.0.0.1:${address.port}`;
    for (const place of ['host', 'path']) url.searchParams.delete(place);
    return url.href;
  }

  get links(): number {
    return this.#links.size;
  }

  /** Instead of delivering the next chunk with this message, delivers what comes before it and calls `fault`. Once. */
  onNext(message: Buffer | string, fault: Fault): void {
    this.#faults.push({ message: Buffer.from(message), fault });
  }

  /** From now on counts chunks with this message on their way to the server. */
  count(message: string): () => number {
    const counter = { message: Buffer.from(message), seen: 0 };
    this.#counters.push(counter);
    return () => counter.seen;
  }

  /** Resolves when PostgreSQL has answered COMMIT; the answer is swallowed and the client's side reset. */
  static answerLost(link: Link, deliver: () => void, answer: Buffer = COMMITTED): Promise<void> {
    return new Promise((resolve) => {
      link.server.removeAllListeners('data');
      link.server.on('data', (bytes) => {
        if (!bytes.includes(answer)) return;
        resolve();
        cut(link);
      });
      deliver();
    });
  }

  /** New connections are reset and existing ones too, until `accept`. */
  refuse(): void {
    this.#refusing = true;
    for (const link of this.#links) cut(link);
  }

  accept(): void {
    this.#refusing = false;
  }

  /** Nothing goes through in either direction any more, and nothing says so. New connections are accepted and stall. */
  stall(): void {
    this.#stalled = true;
    for (const { client, server } of this.#links) {
      client.pause();
      server.pause();
    }
  }

  resume(): void {
    this.#stalled = false;
    for (const link of this.#links) {
      if (this.#silent.has(link)) continue;
      link.client.resume();
      link.server.resume();
    }
  }

  /** From now on bytes take their time, either way; undefined: they do not. */
  slow(pace: Pace | undefined): void {
    this.#pace = pace;
  }

  /** Connections that there are go silent and stay open on both sides, until `endSilent`; new ones are well. */
  halfOpen(): void {
    for (const link of this.#links) {
      this.#silent.add(link);
      link.client.pause();
      link.server.pause();
    }
  }

  endSilent(): void {
    for (const link of this.#silent) cut(link);
    this.#silent.clear();
  }

  /** What was asked for with `onNext` and has not happened does not happen any more. */
  forget(): void {
    this.#faults = [];
  }

  async close(): Promise<void> {
    for (const link of this.#links) cut(link);
    await new Promise((resolve) => {
      this.#listener.close(resolve);
    });
  }

  #link(client: Socket): void {
    client.on('error', () => undefined);
    if (this.#refusing) {
      client.resetAndDestroy();
      return;
    }
    const server = connect(placeOf(this.#target));
    const link: Link = { client, server, tail: Buffer.alloc(0) };
    this.#links.add(link);
    client.setNoDelay(true);
    server.setNoDelay(true);
    server.on('error', () => undefined);
    const [there, back] = [new Lane(), new Lane()];
    client.on('data', (bytes) => there.pass(bytes, this.#pace, (chunk) => this.#fromClient(link, chunk)));
    server.on('data', (bytes) => back.pass(bytes, this.#pace, (chunk) => client.write(chunk)));
    client.on('close', () => {
      // A test that keeps the server's side open after the client's has gone has taken over its end.
      if (client.listenerCount('data') > 0) server.destroy();
      this.#links.delete(link);
    });
    server.on('close', () => client.destroy());
    if (this.#stalled) {
      client.pause();
      server.pause();
    }
  }

  #fromClient(link: Link, bytes: Buffer): void {
    if (this.onChunk(link, bytes)) return;
    for (const counter of this.#counters) if (bytes.includes(counter.message)) counter.seen += 1;
    const [next] = this.#faults;
    // TCP may cut a message in two: its first part has then gone on already, and PostgreSQL waits for the rest.
    const seen = next ? Buffer.concat([link.tail.subarray(-(next.message.length - 1)), bytes]) : bytes;
    link.tail = bytes;
    const at = next ? seen.indexOf(next.message) - (seen.length - bytes.length) : -1;
    if (!next || !seen.includes(next.message)) {
      link.server.write(bytes);
      return;
    }
    this.#faults.shift();
    if (at > 0) link.server.write(bytes.subarray(0, at));
    next.fault(link, () => link.server.write(bytes.subarray(Math.max(0, at))));
  }
}

/** A URL of PostgreSQL or Redis may name the folder of a socket, or a socket, in its query. */
function placeOf({ hostname: host, port, searchParams }: URL): NetConnectOpts {
  const folder = searchParams.get('host');
  const path = searchParams.get('path') ?? (folder && join(folder, `.s.PGSQL.${port}`));
  return path ? { path } : { host, port: Number(port) };
}

/** Both sides: the client sees a reset, PostgreSQL rolls back what was not committed. */
export function cut(link: Link): void {
  link.client.resetAndDestroy();
  link.server.destroy();
}

/** The client sees a reset; PostgreSQL's side stays open and its backend at work until `server` is destroyed. */
export function cutClient(link: Link): void {
  link.client.removeAllListeners('data');
  link.server.removeAllListeners('data');
  link.server.resume();
  link.client.resetAndDestroy();
}
