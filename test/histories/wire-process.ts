import { COMMIT, cut, cutClient, type Link, TcpProxy } from '../support/tcp-proxy.ts';
import { Dice } from './history.ts';
import type { Command, Done } from './wires.ts';

/** Proxies in a process of their own: the clients and the checker keep theirs busy, and must not look like a slow server. */
const proxies = await Promise.all(process.argv.slice(2).map((url) => TcpProxy.open(url)));
const LATE_MS = 400;
/** By then the backend has committed and the service has asked what became of it. */
const OPEN_FOR_MS = 3_000;

/** What may befall a COMMIT that was sent. */
const LOSSES = {
  /** The server never gets it. */
  lost: (link: Link) => cut(link),
  /** It commits, and its answer is lost. */
  unanswered: (link: Link, deliver: () => void) => void TcpProxy.answerLost(link, deliver),
  /** It gets it when the client has long given it up for lost. */
  late: (link: Link, deliver: () => void) => {
    cutClient(link);
    setTimeout(deliver, LATE_MS);
    setTimeout(() => link.server.destroy(), OPEN_FOR_MS);
  },
};
let befallen = 0;
const dice = new Dice(1);

function obey(proxy: TcpProxy, { what, ...how }: Command): void {
  if (what === 'slow') {
    const { lagMs = 0, jitterMs = 0, bytesPerSecond = Number.POSITIVE_INFINITY } = how;
    proxy.slow({ lagMs: () => Math.max(0, lagMs + jitterMs * (2 * dice.next() - 1)), bytesPerSecond });
  } else if (what === 'quick') proxy.slow(undefined);
  else if (what === 'lose') {
    const { loss = 'lost', times = 1 } = how;
    for (let time = 0; time < times; time += 1)
      proxy.onNext(COMMIT, (link, deliver) => {
        befallen += 1;
        LOSSES[loss](link, deliver);
      });
  } else proxy[what]();
}

/** Each command is answered once it is done. */
process.on('message', ({ wire, ...command }: Command & { wire: number }) => {
  obey(proxies[wire] as TcpProxy, command);
  process.send?.({ befallen } satisfies Done);
});
process.on('disconnect', () => process.exit(0));
process.send?.(proxies.map(({ url }) => url));
