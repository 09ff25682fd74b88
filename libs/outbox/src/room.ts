import type { Type } from '@nestjs/common';
import type { RoomSettings } from '#platform/room-settings.js';
import type { Check } from '#platform/verify.js';
import type { Consumer } from './consumers/consumer.js';
import type { Reactor } from './consumers/reactor.js';
import type { RelayTarget } from './relay/relay.js';

/**
 * What a library brings to the processes of the service; `apps/rooms.ts` has one of each. Its modules may implement the hooks
 * below, and those of the platform (`room-hooks.ts`): metrics and duties. They are loaded by who wants them: the processes of
 * consumers want neither Nest nor the rest of the room.
 */
export interface Room {
  /** What the environment can tell it. */
  readonly settings?: RoomSettings;
  /** Its commands and queries, in every process that has Nest. Needs PlatformModule and OutboxModule. */
  readonly module?: () => Promise<Type>;
  /** What it does by itself: in the worker alone. */
  readonly worker?: () => Promise<Type>;
  /** Each runs in a process of its own. */
  readonly consumers?: readonly Consumer[];
  /** Each runs in the worker, with the commands of all rooms. */
  readonly reactors?: readonly Reactor[];
  /** Names of its targets of the relay: what `relayTargets()` of its worker brings. */
  readonly targets?: readonly string[];
  /** Names of BullMQ's queues that it has beside those of its consumers and reactors: for whoever looks at queues. */
  readonly queues?: readonly string[];
  /** What `npm run verify` looks for in its tables. */
  readonly checks?: () => Promise<readonly Check[]>;
}

/** Has events dispatched to it by the relay, without a queue. */
export interface BringsRelayTargets {
  relayTargets(): readonly RelayTarget[];
}

/**
 * Hears, once it is committed, that a consumer has applied something in this process. `merchantIds`: for whom it has left something to be
 * done, possibly nobody; undefined: that is not known.
 */
export interface HearsApplied {
  applied(consumer: string, merchantIds?: readonly bigint[]): void;
}
