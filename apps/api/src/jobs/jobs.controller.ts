import { Controller, Get } from '@nestjs/common';
import { QueryBus } from '@nestjs/cqrs';
import { ListJobsQuery } from '#platform/job.queries.js';
import type { RequestBounds } from '#platform/request-context.js';
import { Documented } from '../documented.js';
import { QueueViews } from '../queue-views.js';
import { CurrentBounds } from '../request.js';
import { jobList, jobListBody } from './schemas.js';

@Controller('v1/jobs')
export class JobsController {
  constructor(
    private readonly queries: QueryBus,
    private readonly queues: QueueViews,
  ) {}

  @Get()
  @Documented({
    price: 'list',
    summary: 'What the workers do by themselves: when it last ran, when it is next, what fails and what is late',
    access: 'operator',
    response: jobList,
  })
  async list(@CurrentBounds() bounds: RequestBounds) {
    const [jobs, queues] = await Promise.all([this.queries.execute(new ListJobsQuery(bounds)), this.queues.states()]);
    return jobListBody(jobs, queues);
  }
}
