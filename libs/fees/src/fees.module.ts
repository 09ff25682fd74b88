import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { FeePlan, FeePlanAssignment, FeePlanVersionRow } from './fee-plan.entity.js';
import { FeePlans } from './fee-plans.js';

/** Fee plans: what they are, who is on which, and what they come to. Needs PlatformModule. */
@Module({
  imports: [TypeOrmModule.forFeature([FeePlan, FeePlanVersionRow, FeePlanAssignment])],
  providers: [FeePlans],
  exports: [FeePlans],
})
export class FeesModule {}
