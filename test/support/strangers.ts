import { ClientAddresses, type Peer } from '#platform/client-address.js';
import { Strangers, type StrangersOptions } from '#tenancy/strangers.js';

/** Where a request of this address comes from. */
export function peerAt(remoteAddress: string): Peer {
  return { socket: { remoteAddress }, headers: {} };
}

/** Bounds that nobody reaches, but those given. */
export function strangersOf(
  options: Partial<StrangersOptions> = {},
  ...clock: [] | [{ now(): number; monotonic(): number }]
) {
  const bounds: StrangersOptions = {
    addresses: new ClientAddresses([]),
    failuresPerSecond: 1_000_000,
    failuresBurst: 1_000_000,
    failuresInAllPerSecond: 1_000_000,
    lookups: 100,
    lookupsWaiting: 1_000_000,
    lookupsWaitingInAll: 1_000_000,
    ...options,
  };
  return new Strangers(bounds, ...clock);
}
