/**
 * A commit wakes everybody who waits for it in one turn of the event loop. Those who then look at the same place of the same log share
 * one query. Nobody else joins them: who asks later may know of what was committed since.
 */
export class SharedLooks<Found> {
  readonly #looks = new Map<string, Promise<Found>>();

  look(place: string, read: () => Promise<Found>): Promise<Found> {
    const others = this.#looks.get(place);
    if (others) return others;
    const look = read();
    this.#looks.set(place, look);
    setImmediate(() => this.#looks.delete(place));
    return look;
  }
}
