import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * The files that take longest, in their order: the last one to begin is a short one, and no worker is left alone with a campaign.
 * The second one compiles nothing, so that the first has compiled for all.
 */
const LONG = [
  'histories',
  'outbox',
  'concurrency',
  'bench-smoke',
  'start',
  'secrets',
  'reactor-crashes',
  'report-crashes',
  'reactors',
  'rebuild',
  'payouts-campaign',
  'night-crashes',
  'night-quarter',
  'faults',
  'bank-simulator',
  'internal-checks',
  'verify',
  'report-uploads',
  'reconciliation-crashes',
  'memory',
  'unsent',
];

/** Vitest's own order is by what it remembers of earlier runs, and a fresh checkout has had none. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const index = LONG.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`));
      return index < 0 ? LONG.length : index;
    };
    return (await super.sort(files)).sort((left, right) => rank(left) - rank(right));
  }
}
