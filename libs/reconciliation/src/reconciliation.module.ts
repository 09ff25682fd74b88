import { Module } from '@nestjs/common';
import { CONFIG } from '#platform/platform.module.js';
import { BreaksModule } from './breaks/breaks.module.js';
import { BeginCheckHandler } from './internal/begin-check.command.js';
import { ReportQueue } from './jobs/report-queue.js';
import { RetryReportHandler } from './jobs/retry-report.command.js';
import { ReceiveReportHandler } from './receiving/receive-report.command.js';
import { Uploads } from './receiving/uploads.js';
import { GetReportHandler, ListBadRowsHandler, ListReportsHandler } from './reports/report.queries.js';
import type { ReconciliationSettings } from './settings.js';

/** Receives reports, shows them, and has their breaks worked off. Needs PlatformModule. */
@Module({
  imports: [BreaksModule],
  providers: [
    ReportQueue,
    ReceiveReportHandler,
    RetryReportHandler,
    BeginCheckHandler,
    GetReportHandler,
    ListReportsHandler,
    ListBadRowsHandler,
    {
      provide: Uploads,
      useFactory: (config: ReconciliationSettings) =>
        new Uploads({
          uploads: config.reconciliationUploads,
          merchantUploads: config.reconciliationMerchantUploads,
        }),
      inject: [CONFIG],
    },
  ],
  exports: [ReportQueue, Uploads],
})
export class ReconciliationModule {}
