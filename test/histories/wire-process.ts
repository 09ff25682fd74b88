import { TcpProxy } from '../support/tcp-proxy.ts';

/** A proxy in a process of its own: the clients and the checker keep theirs busy, and must not look like a slow Redis. */
const proxy = await TcpProxy.open(process.argv[2] as string);

/** Each command is answered once it is done. */
process.on('message', (command: 'refuse' | 'accept' | 'stall' | 'resume') => {
  proxy[command]();
  process.send?.('done');
});
process.on('disconnect', () => process.exit(0));
process.send?.(proxy.url);
