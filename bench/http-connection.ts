import { connect, type Socket } from 'node:net';

const HEADER_END = Buffer.from('\r\n\r\n');
const FAILED = 400;

/** `body` is there for answers of 400 and above, and where the request asked for it; `bytes` is its length in any case. */
export type OnResponse = (status: number, body: Buffer | undefined, bytes: number) => void;

/**
 * One keep-alive HTTP/1.1 connection with one request under way at a time. It knows just enough of HTTP for our own API
 * (Content-Length, no chunks, no redirects): every microsecond spent here is taken from the server on the same machine.
 */
export class HttpConnection {
  readonly #socket: Socket;
  #onResponse: OnResponse | undefined;
  #onLost: ((error: Error) => void) | undefined;
  #keepBody = false;
  #head: Buffer | undefined;
  #status = 0;
  #length = 0;
  #missing = 0;
  #body: Buffer[] | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.#read(chunk));
    socket.on('error', (error) => this.#lose(error));
    socket.on('close', () => this.#lose(new Error('the server closed the connection')));
  }

  static open(port: number): Promise<HttpConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.removeListener('error', reject);
        resolve(new HttpConnection(socket));
      });
    });
  }

  /** `request` is a whole HTTP request in Latin-1. Neither callback is called twice. */
  send(request: string, onResponse: OnResponse, onLost: (error: Error) => void, keepBody = false): void {
    if (this.#onResponse) throw new Error('a request is under way on this connection');
    if (this.#socket.destroyed) {
      onLost(new Error('the connection was lost before this request'));
      return;
    }
    this.#onResponse = onResponse;
    this.#onLost = onLost;
    this.#keepBody = keepBody;
    this.#socket.write(request, 'latin1');
  }

  exchange(request: string): Promise<{ status: number; body: string }> {
    return new Promise((resolve, reject) => {
      this.send(request, (status, body) => resolve({ status, body: body?.toString() ?? '' }), reject, true);
    });
  }

  close(): void {
    this.#onLost = undefined;
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    if (this.#missing > 0) {
      this.#readBody(chunk);
      return;
    }
    const head = this.#head ? Buffer.concat([this.#head, chunk]) : chunk;
    const end = head.indexOf(HEADER_END);
    if (end < 0) {
      this.#head = head;
      return;
    }
    this.#head = undefined;
    const text = head.toString('latin1', 0, end);
    this.#status = Number(text.slice(9, 12));
    const length = /\r\ncontent-length: *(\d+)/i.exec(text)?.[1];
    if (length === undefined) {
      this.#lose(new Error(`an answer without Content-Length: ${text}`));
      return;
    }
    this.#length = Number(length);
    this.#missing = this.#length;
    this.#body = this.#keepBody || this.#status >= FAILED ? [] : undefined;
    this.#readBody(head.subarray(end + HEADER_END.length));
  }

  #readBody(chunk: Buffer): void {
    this.#missing -= chunk.length;
    if (this.#missing < 0) {
      this.#lose(new Error('more bytes than the answer announced'));
      return;
    }
    this.#body?.push(chunk);
    if (this.#missing > 0) return;
    const onResponse = this.#onResponse;
    this.#onResponse = undefined;
    this.#onLost = undefined;
    onResponse?.(this.#status, this.#body && Buffer.concat(this.#body), this.#length);
  }

  #lose(error: Error): void {
    const onLost = this.#onLost;
    this.#onLost = undefined;
    this.#onResponse = undefined;
    this.#socket.destroy();
    onLost?.(error);
  }
}
