import { Module } from '@nestjs/common';
import { NightQueue } from './runs/night-queue.js';
import { GetRunHandler, ListRunsHandler } from './runs/run.queries.js';
import { StartRunHandler } from './runs/start-run.command.js';
import { Settler } from './settler.js';

const HANDLERS = [StartRunHandler, GetRunHandler, ListRunsHandler];

/** What settles days, and has it done. Needs PlatformModule. */
@Module({ providers: [Settler, NightQueue, ...HANDLERS], exports: [Settler, NightQueue] })
export class SettlementModule {}
