import { figure, median, textTable } from '#db/bench/text-table.js';
import type { TrialResult } from './trial-result.js';
import type { Round, TrialName } from './trials.js';

/** What the rounds amount to: ratios within each round, their median and spread over the rounds. */

interface Row {
  /** Row of the table of goals, where it is one of them. */
  number: string;
  title: string;
  goal?: number;
  /** Instead of a goal that is a least. */
  atMost?: number;
  samples: number[];
}

const perSecond = (trial: TrialResult): number => trial.perSecond;

function ratios(rounds: readonly Round[], above: TrialName, below: TrialName, of = perSecond): number[] {
  return rounds.map((round) => {
    const [a, b] = [round.get(above), round.get(below)];
    return a && b ? of(a) / of(b) : Number.NaN;
  });
}

function spread(samples: readonly number[]): string {
  const known = samples.filter(Number.isFinite);
  if (known.length === 0) return '–';
  return `${figure(median(known))} (${figure(Math.min(...known))}–${figure(Math.max(...known))})`;
}

function verdict({ goal, atMost, samples }: Row, verdicts: boolean): string {
  if (goal === undefined && atMost === undefined) return '';
  const middle = median(samples.filter(Number.isFinite));
  const wanted = goal === undefined ? `≤ ${atMost}` : `≥ ${goal}`;
  if (!verdicts || Number.isNaN(middle)) return wanted;
  const reached = goal === undefined ? middle <= (atMost ?? Infinity) : middle >= goal;
  return `${wanted} ${reached ? 'reached' : 'not reached'}`;
}

export function ratioTable(
  rounds: readonly Round[],
  {
    layout,
    coldReads,
    verdicts,
  }: { layout: { vacuumed: number; newest: number }; coldReads: number; verdicts: boolean },
): string {
  const p50 = (trial: TrialResult): number => trial.p50;
  const secondsEach = (trial: TrialResult): number => 1 / trial.perSecond;
  const rows: Row[] = [
    {
      number: '1',
      title: 'POST /transactions, 64 callers ÷ reference',
      goal: 1,
      samples: ratios(rounds, 'uniform 64', 'reference uniform'),
    },
    {
      number: '1',
      title: 'POST /transactions, 256 callers ÷ reference',
      goal: 1.4,
      samples: ratios(rounds, 'uniform 256', 'reference uniform'),
    },
    {
      number: '2',
      title: 'one hot account, 64 callers ÷ hot reference',
      goal: 4,
      samples: ratios(rounds, 'hot 64', 'reference hot'),
    },
    {
      number: '2',
      title: 'one hot account, 256 callers ÷ hot reference',
      goal: 4,
      samples: ratios(rounds, 'hot 256', 'reference hot'),
    },
    {
      number: '3',
      title: 'ours hot ÷ ours uniform, 64 callers',
      goal: 0.9,
      samples: ratios(rounds, 'hot 64', 'uniform 64'),
    },
    {
      number: '3',
      title: 'ours hot ÷ ours uniform, 256 callers',
      goal: 0.9,
      samples: ratios(rounds, 'hot 256', 'uniform 256'),
    },
    {
      number: '4',
      title: 'batches of 100, transactions/s ÷ reference',
      goal: 1.5,
      samples: ratios(rounds, 'batch', 'reference uniform'),
    },
    {
      number: '5',
      title: 'cached balance read ÷ bare node:http, 64 callers',
      goal: 0.65,
      samples: ratios(rounds, 'read cached set 64', 'read bare 64'),
    },
    {
      number: '',
      title: 'the same, one hot account',
      samples: ratios(rounds, 'read cached hot 64', 'read bare 64'),
    },
    {
      number: '',
      title: 'the same, all accounts: many expire before they are read again',
      samples: ratios(rounds, 'read cached 64', 'read bare 64'),
    },
    {
      number: '6',
      title: 'cached balance read ÷ the same from the database',
      goal: 1.5,
      samples: ratios(rounds, 'read cached 64', 'read database 64'),
    },
    {
      number: '',
      title: `${coldReads.toLocaleString('en')} reads of one cold key in 2 processes: database reads`,
      atMost: 2,
      samples: rounds.map((round) => round.get('cold key')?.databaseReads ?? Number.NaN),
    },
    ...([1, 16, 64] as const).map(
      (callers): Row => ({
        number: '7',
        title: `ms that the cache adds to a posting (p50), ${callers} caller${callers === 1 ? '' : 's'}`,
        samples: rounds.map((round) => {
          const [cached, plain] = [round.get(`uniform ${callers}`), round.get(`without cache ${callers}`)];
          return cached && plain ? cached.p50 - plain.p50 : Number.NaN;
        }),
      }),
    ),
    {
      number: '',
      title: 'postings with the cache ÷ without, 256 callers',
      samples: ratios(rounds, 'uniform 256', 'without cache 256'),
    },
    {
      number: '11',
      title: 'postings with 1 % of requests traced ÷ none, 64 callers',
      goal: 0.9,
      samples: ratios(rounds, 'traced 64', 'untraced 64'),
    },
    {
      number: '11',
      title: 'the same of cached reads',
      goal: 0.9,
      samples: ratios(rounds, 'read traced 64', 'read untraced 64'),
    },
    ...(
      [
        ['postings', 'traced 64', 'untraced 64'],
        ['cached reads', 'read traced 64', 'read untraced 64'],
      ] as const
    ).map(
      ([what, traced, untraced]): Row => ({
        number: '',
        title: `CPU of the API, ${what} traced ÷ not`,
        samples: ratios(rounds, traced, untraced, ({ cpu }) => cpu?.apiUs ?? Number.NaN),
      }),
    ),
    ...(
      [
        ['postings', 'untraced 64', 'uniform 64'],
        ['cached reads', 'read untraced 64', 'read cached set 64'],
      ] as const
    ).map(
      ([what, one, another]): Row => ({
        number: '',
        title: `the noise of that: ${what}, none traced, of two processes`,
        samples: ratios(rounds, one, another),
      }),
    ),
    ...(['ours', 'delete-after-commit', 'lock-with-ttl'] as const).map(
      (protocol): Row => ({
        number: '',
        title: `without HTTP, ms that a cache adds to a posting (p50): ${protocol}`,
        samples: rounds.map((round) => {
          const [cached, plain] = [round.get(`post: ${protocol}`), round.get('post: no cache')];
          return cached && plain ? cached.p50 - plain.p50 : Number.NaN;
        }),
      }),
    ),
    ...(['delete-after-commit', 'lock-with-ttl'] as const).flatMap((protocol): Row[] => [
      {
        number: '',
        title: `p50 of a read, 16 callers, a tenth of it postings: ${protocol} ÷ ours`,
        samples: ratios(rounds, `read: ${protocol}`, 'read: ours', p50),
      },
      {
        number: '',
        title: `p99 of the same read: ${protocol} ÷ ours`,
        samples: ratios(rounds, `read: ${protocol}`, 'read: ours', (trial) => trial.p99),
      },
    ]),
    { number: '8', title: 'last 100: pages of PK (id) + index ÷ ours, vacuumed', goal: 10, samples: [layout.vacuumed] },
    { number: '8', title: 'last 100: the same, newest rows not yet vacuumed', goal: 2, samples: [layout.newest] },
    ...([64, 256] as const).map(
      (callers): Row => ({
        number: '9',
        title: `postings with events ÷ without, ${callers} callers`,
        goal: 0.8,
        samples: ratios(rounds, `uniform ${callers}`, `without events ${callers}`),
      }),
    ),
    {
      number: '10',
      title: 'events drained ÷ postings with 256 callers',
      goal: 2,
      samples: ratios(rounds, 'drain', 'uniform 256'),
    },
    {
      number: '',
      title: 'events drained ÷ transactions in batches of 100',
      samples: ratios(rounds, 'drain', 'batch'),
    },
    ...(['p50', 'p99'] as const).map(
      (rank): Row => ({
        number: '',
        title: `ms from COMMIT to the read model at half load, ${rank}`,
        samples: rounds.map((round) => round.get('lag at half load')?.[rank] ?? Number.NaN),
      }),
    ),
    ...(
      [
        ['% of a core', 'cpuPercent'],
        ['PostgreSQL transactions/s', 'transactions'],
        ['Redis commands/s', 'commands'],
      ] as const
    ).map(
      ([what, field]): Row => ({
        number: '',
        title: `an idle worker: ${what}`,
        samples: rounds.map((round) => round.get('idle worker')?.idle?.[field] ?? Number.NaN),
      }),
    ),
    {
      number: '18',
      title: 'facts in batches of 100 ÷ transactions in batches of 100',
      goal: 0.7,
      samples: ratios(rounds, 'facts batch', 'batch'),
    },
    {
      number: '18',
      title: 'POST /payments ÷ POST /transactions, 64 callers',
      goal: 0.8,
      samples: ratios(rounds, 'payments 64', 'uniform 64'),
    },
    {
      number: '18',
      title: 'p99 of single facts ÷ p99 of postings, each at half load',
      atMost: 1.5,
      samples: ratios(rounds, 'facts at half load', 'postings at half load', (trial) => trial.p99),
    },
    {
      number: '',
      title: 'single facts ÷ POST /transactions, 64 callers',
      samples: ratios(rounds, 'facts 64', 'uniform 64'),
    },
    ...(['p50', 'p99'] as const).map(
      (rank): Row => ({
        number: '',
        title: `ms from its cause’s request until a parked fact is applied, ${rank}`,
        samples: rounds.map((round) => round.get('parked fact')?.[rank] ?? Number.NaN),
      }),
    ),
    {
      number: '',
      title: 'lone caller: p50 through the writer ÷ statements by hand',
      samples: ratios(rounds, 'writer', 'by hand', p50),
    },
    {
      number: '',
      title: 'lone caller: p50 over HTTP ÷ statements by hand',
      samples: ratios(rounds, 'uniform 1', 'by hand', p50),
    },
    {
      number: '',
      title: 'cost of a posting one hour late ÷ on time, 64 callers',
      samples: ratios(rounds, 'late 64', 'uniform 64', secondsEach),
    },
  ];
  return textTable(
    ['row', 'ratio', 'median (min–max)', 'goal'],
    rows.map((row) => [row.number, row.title, spread(row.samples), verdict(row, verdicts)]),
    2,
  );
}

/** Rates, latencies and where the CPU went, of every kind of trial. */
export function trialTable(rounds: readonly Round[]): string {
  const names = [...(rounds[0]?.keys() ?? [])].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  const rows = names.map((name) => {
    const trials = rounds.flatMap((round) => round.get(name) ?? []);
    const over = (of: (trial: TrialResult) => number | undefined): number[] =>
      trials.map((trial) => of(trial) ?? Number.NaN);
    const typical = (of: (trial: TrialResult) => number | undefined): string =>
      figure(median(over(of).filter(Number.isFinite)));
    return [
      name,
      spread(over((trial) => trial.perSecond)),
      `${typical((t) => t.p50)} / ${typical((t) => t.p99)} / ${typical((t) => t.p999)}`,
      typical((t) => t.cpu?.apiUs),
      typical((t) => t.cpu?.postgresUs),
      typical((t) => t.cpu?.generatorUs),
      typical((t) => t.cpu?.relayUs),
      typical((t) => t.cpu?.consumersUs),
      typical((t) => t.redis?.calls),
      typical((t) => t.redis?.commands),
      typical((t) => t.databaseReads),
    ];
  });
  return textTable(
    [
      'trial',
      'transactions/s (min–max)',
      'p50 / p99 / p99.9 ms',
      'API µs',
      'PostgreSQL µs',
      'generator µs',
      'relay µs',
      'consumers µs',
      'Redis calls',
      'in scripts',
      'database reads',
    ],
    rows,
  );
}
