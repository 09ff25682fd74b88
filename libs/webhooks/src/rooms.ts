export interface RoomsOptions {
  /** Requests in hand at once, but for slow ones. */
  concurrency: number;
  /** Requests of one merchant in hand at once, slow ones included. */
  merchantConcurrency: number;
  /** Slow requests in hand at once beside the others. */
  slowConcurrency: number;
}

/** The right to have one request in hand. */
export interface Room {
  readonly merchantId: bigint;
  /** Whether it counts among the slow ones, and so keeps nobody waiting. */
  isSlow: boolean;
}

/**
 * The requests that a process may have in hand, shared by merchants: nobody has more than its part, and whoever has to be waited for
 * moves to the slow ones, so that merchants whose endpoints hang take no room from the others.
 */
export class Rooms {
  readonly #options: RoomsOptions;
  readonly #onRoom: (merchantId: bigint) => void;
  /** Rooms by merchant, slow ones included. */
  readonly #inHand = new Map<bigint, number>();
  /** Merchants with as much in hand as they may, as of the last claim: endpoints of theirs may wait for it. */
  readonly #atEnd = new Set<bigint>();
  /** Slow ones for whom there is no room among the slow ones, longest first. */
  readonly #lingering = new Set<Room>();
  #quick = 0;
  #slow = 0;
  #isReserved = false;
  #given = Promise.withResolvers<void>();
  /** Whether endpoints wait that there is no room for. */
  isAwaited = false;

  /** `onRoom`: endpoints of this merchant may wait for what was given back. */
  constructor(options: RoomsOptions, onRoom: (merchantId: bigint) => void) {
    this.#options = options;
    this.#onRoom = onRoom;
  }

  get isFull(): boolean {
    return this.#quick >= this.#options.concurrency;
  }

  /** Requests in hand that were waited for too long. */
  get slow(): number {
    return this.#slow;
  }

  /** Resolves when there may be room again. */
  get given(): Promise<void> {
    return this.#given.promise;
  }

  inHandOf(merchantId: bigint): number {
    return this.#inHand.get(merchantId) ?? 0;
  }

  /** Whether endpoints wait, of anybody or of this merchant. */
  isAwaitedBy(merchantId: bigint): boolean {
    return this.isAwaited || this.#atEnd.has(merchantId);
  }

  /** Whether the merchant is claimed again by whoever gives its room back. */
  isAtEnd(merchantId: bigint): boolean {
    return this.#atEnd.has(merchantId);
  }

  /** For one more request of an endpoint that has one, unless other endpoints wait. */
  take(merchantId: bigint): Room | undefined {
    const isTaken = this.#isReserved || this.isFull || this.isAwaitedBy(merchantId);
    if (isTaken || this.inHandOf(merchantId) >= this.#options.merchantConcurrency) return undefined;
    return this.#add(merchantId);
  }

  /** All that is left, until `settle`. */
  reserve(): number {
    this.#isReserved = true;
    return this.#options.concurrency - this.#quick;
  }

  /** Rooms for what was claimed, in its order; `asked`: of which merchants. */
  settle(asked: readonly bigint[], claimed: readonly { merchantId: bigint }[]): Room[] {
    const rooms = claimed.map(({ merchantId }) => this.#add(merchantId));
    for (const merchantId of asked) {
      if (this.inHandOf(merchantId) >= this.#options.merchantConcurrency) this.#atEnd.add(merchantId);
      else this.#atEnd.delete(merchantId);
    }
    this.#isReserved = false;
    this.#tell();
    return rooms;
  }

  give(room: Room): void {
    const { merchantId } = room;
    const left = this.inHandOf(merchantId) - 1;
    if (left > 0) this.#inHand.set(merchantId, left);
    else this.#inHand.delete(merchantId);
    this.#lingering.delete(room);
    if (room.isSlow) this.#slow -= 1;
    else this.#quick -= 1;
    const [longest] = this.#lingering;
    if (longest) this.linger(longest);
    this.#tell();
    if (this.#atEnd.has(merchantId)) this.#onRoom(merchantId);
  }

  /** Its request has been waited for too long: others have its room. It stays among the slow ones until it is given back. */
  linger(room: Room): void {
    if (room.isSlow) return;
    this.#lingering.add(room);
    if (this.#slow >= this.#options.slowConcurrency) return;
    this.#lingering.delete(room);
    room.isSlow = true;
    this.#slow += 1;
    this.#quick -= 1;
    this.#tell();
  }

  /** Its request has ended, although late. */
  quicken(room: Room): void {
    this.#lingering.delete(room);
  }

  #add(merchantId: bigint): Room {
    this.#inHand.set(merchantId, this.inHandOf(merchantId) + 1);
    this.#quick += 1;
    return { merchantId, isSlow: false };
  }

  #tell(): void {
    const { resolve } = this.#given;
    this.#given = Promise.withResolvers();
    resolve();
  }
}
