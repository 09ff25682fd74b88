import { Module } from '@nestjs/common';
import { ListDailySummariesHandler } from './daily-summary.queries.js';

/** Reads of the read models. Needs `Database` and `AccountDirectory` from global modules. */
@Module({ providers: [ListDailySummariesHandler] })
export class SummariesModule {}
