import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { serve } from '../../apps/provider-simulator/src/server.js';
import { RATES, type Rates, Simulator } from '../../apps/provider-simulator/src/simulator.js';
import { COURIER_DEFAULTS, type CourierOptions } from '../../apps/simulators/courier.js';
import { Client } from './api.js';

const KEY = 'the-key-of-who-sets-it-up';

/** What is drawn, how it tells, and how it sends. */
export interface ProviderOptions {
  seed?: string;
  rates?: Partial<Rates>;
  courier?: Partial<CourierOptions>;
}

/** The simulator in this process, faster than for people who look on. */
export class SimulatedProvider {
  private constructor(
    private readonly simulator: Simulator,
    private readonly server: Server,
  ) {}

  static async start({ seed = 'seed', rates, courier }: ProviderOptions = {}): Promise<SimulatedProvider> {
    const simulator = new Simulator(
      seed,
      { ...RATES, perSecond: 10_000, lateMs: 300, ...rates },
      { ...COURIER_DEFAULTS, backoffMs: 5, ...courier },
    );
    const server = serve(simulator, KEY).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new SimulatedProvider(simulator, server);
  }

  /** Where it is, and the key of who sets it up. */
  get place(): { url: string; key: string } {
    return { url: `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`, key: KEY };
  }

  get setUp(): Client {
    return this.withKey(KEY);
  }

  withKey(key: string): Client {
    return new Client(this.place.url, { authorization: `Bearer ${key}` });
  }

  stop(): void {
    this.simulator.stop();
    this.server.close();
    this.server.closeAllConnections();
  }
}
