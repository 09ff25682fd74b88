import { Module } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import { ListDailySummariesHandler } from './daily-summary.queries.js';

/** Reads of the read models. Needs `Database` and `AccountDirectory` from global modules. */
@Module({ imports: [CqrsModule], providers: [ListDailySummariesHandler] })
export class SummariesModule {}
