import { Module } from '@nestjs/common';
import { CONFIG } from '#platform/platform.module.js';
import { ReportQueue } from './jobs/report-queue.js';
import { ReceiveReportHandler } from './receiving/receive-report.command.js';
import { Uploads } from './receiving/uploads.js';
import { GetReportHandler, ListBadRowsHandler, ListReportsHandler } from './reports/report.queries.js';
import type { ReconciliationSettings } from './settings.js';

/** Receives reports, and shows them. Needs PlatformModule. */
@Module({
  providers: [
    ReportQueue,
    ReceiveReportHandler,
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
