// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the table quotes source text.
import { inFile } from './mutant.mjs';

const HTTP = 'test/webhook-http.test.ts';
const SENDING = 'test/webhooks.test.ts';
const ORDERING = 'test/webhook-ordering.test.ts';
const LAST = 'test/webhook-last.test.ts';
const FAIRNESS = 'test/webhook-fairness.test.ts';
const LEASES = 'test/webhook-leases.test.ts';
const ADDRESSES = 'libs/platform/src/public-address.spec.ts';
const KEYS = 'test/idempotency.test.ts';
const URLS = 'libs/platform/src/public-url.spec.ts';

/**
 * Planted bugs of webhooks: what must not be called, what must not be sent twice, out of order or by two at once.
 *
 * @type {import('./mutant.mjs').Mutant[]}
 */
export const WEBHOOK_MUTANTS = [
  inFile('libs/platform/src/public-address.ts', ADDRESSES, [
    ['carrier-grade NAT is public', "['100.64.0.0', 10],", ''],
    ['cloud metadata is public', "['169.254.0.0', 16],", ''],
    ['any IPv6 is public', "globalUnicast.check(address, 'ipv6') &&", ''],
    ['6to4 is public', "['2002::', 16],", ''],
    ['loopback in disguise is loopback', '!/^::ffff:/i.test(address) &&', ''],
  ]),
  inFile('libs/platform/src/public-url.ts', URLS, [
    ['URLs carry credentials', "if (url.username !== '' || url.password !== '')", 'if (false)'],
    ['plain http goes anywhere', 'isLocal && allowLoopback', 'allowLoopback'],
    ['any port will do', 'Number(url.port) < FIRST_FREE_PORT', 'false'],
    [
      'networks of the settings are called',
      'isPublicAddress(host, networkList(refusedNetworks))',
      'isPublicAddress(host)',
    ],
    ['line feeds in a URL are dropped', 'if (!/^[\\x21-\\x7e]+$/.test(text))', 'if (false)'],
  ]),
  inFile('libs/platform/src/idempotency.ts', KEYS, [
    ['a secret is kept', 'body: kept ?? first.body', 'body: first.body'],
    ['a key is kept for whatever request', 'if (!request_sha256.equals(requestSha256))', 'if (false)'],
    ['a request in validation burns its key', "code !== 'validation_failed' &&", ''],
    ['a refusal is not kept', 'status === 409 || status === 422', 'status === 422'],
    ['who waits for a key waits for ever', 'values: [String(waitMs)]', "values: ['0']"],
    [
      'the key of another request is overwritten',
      "$1, $2, $3, $4, $5)'",
      "$1, $2, $3, $4, $5) ON CONFLICT DO NOTHING'",
    ],
  ]),
  inFile('libs/platform/src/standard-webhooks.ts', 'libs/platform/src/standard-webhooks.spec.ts', [
    ['the time is not signed', '`${id}.${timestamp}.`', '`${id}.`'],
  ]),
  inFile('libs/platform/src/public-http.ts', HTTP, [
    [
      'only the first address is checked',
      'for (const address of addresses) {',
      'for (const address of addresses.slice(0, 1)) {',
    ],
    ['names lead to networks of the settings', 'isPublicAddress(address, this.#refused)', 'isPublicAddress(address)'],
    ['the socket looks the name up itself', 'lookup: answering(addresses),', ''],
    ['names lead anywhere', 'if (!isAllowed) throw', 'if (false) throw'],
    ['an answer is read to its end', 'if (received >= responseBytes) finish();', ''],
    ['connecting has no deadline', "give(new RequestFailed('connect_timeout'))", 'undefined'],
    ['the beginning of an answer has no deadline', "give(new RequestFailed('headers_timeout'))", 'undefined'],
    ['the environment turns certificates off', 'rejectUnauthorized: true,', ''],
    ['localhost is asked for', "if (isLocalhostName(host)) return ['127.0.0.1'];", ''],
  ]),
  inFile('libs/webhooks/src/delivery-store.ts', LEASES, [
    ['what a claim passed over is forgotten', '> now() OR e.lease_expires_at <= now())', '> now())'],
    [
      'a sleeper records',
      "AND lease_epoch = $3 AND status = 'enabled' FOR NO KEY UPDATE",
      "AND lease_epoch >= $3 AND status = 'enabled' FOR NO KEY UPDATE",
    ],
    ['old secrets sign for ever', 'AND (s.expires_at IS NULL OR s.expires_at > now())', ''],
  ]),
  inFile('libs/webhooks/src/delivery-store.ts', SENDING, [
    [
      'two workers send to one endpoint',
      "e.status = 'enabled' AND e.lease_expires_at <= now()`",
      "e.status = 'enabled'`",
    ],
    [
      'the line is in the order of retries',
      'ORDER BY d.redelivery DESC, d.event_xid, d.event_seq',
      'ORDER BY d.next_attempt_at, d.event_xid DESC',
    ],
    ['an endpoint is disabled in silence', 'if (row?.reason) await log.append', 'if (false) await log.append'],
    ['a success does not end a failure', "WHEN 'delivered' THEN NULL", "WHEN 'delivered' THEN failing_since"],
  ]),
  inFile('libs/webhooks/src/turn.ts', SENDING, [
    ['the next one passes a head that failed', "|| verdict === 'due') return;", ') return;'],
  ]),
  inFile('libs/webhooks/src/attempt.ts', SENDING, [
    ['a redirect is a success', 'answer.statusCode < 300', 'answer.statusCode < 400'],
    ['410 is a failure like others', 'gone: answer?.statusCode === GONE', 'gone: false'],
    ['a redelivery is retried', 'delivery.redelivery ? undefined :', ''],
  ]),
  inFile('libs/webhooks/src/sender.ts', SENDING, [
    ['there is no end of endpoints in hand', 'const limit = this.rooms.reserve();', 'const limit = 1_000;'],
  ]),
  inFile('libs/webhooks/src/rooms.ts', FAIRNESS, [
    ['slow requests keep their room', 'this.#slow >= this.#options.slowConcurrency', 'true'],
    ['there is no end of slow requests', 'this.#slow >= this.#options.slowConcurrency', 'false'],
    ['who has waited longest for slow room is forgotten', 'if (longest) this.linger(longest);', ''],
    [
      'a merchant’s other endpoints are not told of room',
      'if (this.#atEnd.has(merchantId)) this.#onRoom(merchantId);',
      '',
    ],
    [
      'one endpoint takes more than its merchant may have',
      'this.inHandOf(merchantId) >= this.#options.merchantConcurrency) return undefined',
      'false) return undefined',
    ],
  ]),
  inFile('libs/webhooks/src/delivery-store.ts', 'test/webhook-plans.test.ts', [
    [
      'all that is due to an endpoint is read to find what is next',
      'ORDER BY redelivery DESC, event_xid, event_seq LIMIT 1)',
      'ORDER BY redelivery DESC, event_xid, event_seq OFFSET 0)',
    ],
  ]),
  inFile('libs/webhooks/src/delivery-store.ts', FAIRNESS, [
    ['a merchant is claimed without end', 'WHERE turn.place <= $5', 'WHERE $5 > 0'],
    [
      'who has waited longest is claimed first, whoever it is',
      'ORDER BY turn.place, turn.lease_expires_at',
      'ORDER BY turn.lease_expires_at',
    ],
    ['what a merchant has in hand does not count', 'm.in_hand + row_number()', 'row_number()'],
  ]),
  inFile('libs/webhooks/src/turn.ts', LEASES, [
    ['a sleeper sends', 'this.#parts.clock.monotonic() > this.#safeUntilMs', 'false'],
  ]),
  inFile('libs/webhooks/src/attempt.ts', LEASES, [
    ['what was dropped counts as tried', 'if (cause instanceof RequestAborted) return undefined;', ''],
  ]),
  inFile('libs/webhooks/src/turn.ts', ORDERING, [
    ['one endpoint gets all there is', 'inHand.size < this.#options.endpointConcurrency &&', ''],
    ['requests of one endpoint are not counted', ': this.#host.rooms.take(this.merchantId);', ': this.#room;'],
    ['a lease is never renewed', 'if (nowMs <= this.#safeUntilMs) return true;', 'return true;'],
    ['a turn does not listen', 'this.#isDry = false;\n    this.#woken.resolve();', ''],
    ['a turn never makes room', 'if (!this.#host.rooms.isAwaitedBy(this.merchantId)) return true;', 'return true;'],
    ['nobody knows when a retry is due', 'if (verdict.nextDelayMs !== undefined)', 'if (false)'],
  ]),
  inFile('libs/webhooks/src/delivery-store.ts', LAST, [
    [
      'what is tried again later keeps the lease',
      "AND status = 'due' AND next_attempt_at <= now() AND id <> $4)",
      "AND status = 'due' AND id <> $4)",
    ],
    ['the last record ends the lease whatever became due', '(NOT $18::boolean OR ${OTHERS_DUE})', 'NOT $18::boolean'],
  ]),
  inFile('libs/webhooks/src/turn.ts', LAST, [
    ['a turn releases what its record has released', 'if (!this.#isReleased) await', 'await'],
    ['the first of a line passes for the last', 'place === line.length - 1', 'place === 0'],
    ['a record ends the lease while more is read', 'return this.#isDry && !this.#isReading;', 'return this.#isDry;'],
    ['requests begin while the lease may be ending', 'this.#isOver || this.#isEnding ||', 'this.#isOver ||'],
  ]),
  inFile('libs/webhooks/src/delivery-store.ts', ORDERING, [
    ['what is in hand is sent again', 'AND d.id <> ALL ($4::bigint[])', 'AND $4::bigint[] IS NOT NULL'],
    ['a retry is not waited for', "AND d.status = 'due' AND d.next_attempt_at <= now()", "AND d.status = 'due'"],
    [
      'renewing asks for no epoch',
      "AND lease_epoch = $3 AND status = 'enabled'\nRETURNING",
      "AND $3::bigint > 0 AND status = 'enabled'\nRETURNING",
    ],
  ]),
  inFile('libs/webhooks/src/sender.ts', ORDERING, [
    ['a sender does not look again after a turn', 'if (this.#isStarted) this.wake([lease.merchantId]);', ''],
    ['due times are not learnt', 'if (!this.#isStarted) return 0;', 'return 0;'],
  ]),
  inFile('libs/webhooks/src/fan-out.ts', SENDING, [
    ['every endpoint gets every type', 'AND (e.event_types IS NULL OR v.type = ANY (e.event_types))', ''],
    ['a new endpoint gets all of history', 'AND v.xid > e.since_xid', ''],
    ['deliveries are told of nobody', 'leaves(rows.map(({ merchant_id }) => merchant_id));', ''],
    ['a batch cannot be repeated', 'ON CONFLICT (merchant_id, endpoint_id, event_xid, event_seq) DO NOTHING', ''],
  ]),
  inFile('libs/webhooks/src/endpoint-store.ts', LEASES, [
    ['rotations do not take turns', '${SELECT_ENDPOINT} FOR NO KEY UPDATE`', '${SELECT_ENDPOINT}`'],
    ['a rotation forgets the deployed secret', 'AND expires_at <= now()', 'AND expires_at IS NOT NULL'],
  ]),
  inFile('libs/webhooks/src/endpoint.commands.ts', LEASES, [
    ['there is no end of secrets', 'if (signing < MAX_SIGNING_SECRETS) return;', 'if (signing > 0) return;'],
  ]),
  inFile('libs/webhooks/src/purge.ts', LEASES, [
    ['what is due is purged', "(d.status <> 'due' OR e.status = 'deleted')", 'true'],
  ]),
].flat();
