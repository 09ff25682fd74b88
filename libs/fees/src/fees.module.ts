import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { AssignFeePlanHandler } from './assign-fee-plan.command.js';
import { AddFeePlanVersionHandler, CreateFeePlanHandler } from './fee-plan.commands.js';
import { FeePlan, FeePlanAssignment, FeePlanVersionRow } from './fee-plan.entity.js';
import { GetFeePlanHandler, ListFeePlansHandler } from './fee-plan.queries.js';
import { FeePlans } from './fee-plans.js';
import { TakeBackFeePlanVersionHandler } from './take-back-version.command.js';

/** Fee plans: what they are, who is on which, and what they come to. Needs PlatformModule. */
@Module({
  imports: [TypeOrmModule.forFeature([FeePlan, FeePlanVersionRow, FeePlanAssignment])],
  providers: [
    FeePlans,
    CreateFeePlanHandler,
    AddFeePlanVersionHandler,
    TakeBackFeePlanVersionHandler,
    AssignFeePlanHandler,
    GetFeePlanHandler,
    ListFeePlansHandler,
  ],
  exports: [FeePlans],
})
export class FeesModule {}
