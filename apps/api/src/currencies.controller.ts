import { Controller, Get, Query } from '@nestjs/common';
import { z } from 'zod';
import { CURRENCIES, currencyExponent, currencyName } from '#kernel/money.js';
import { Documented } from './documented.js';
import { currencyOut } from './schemas.js';

const currencies = z
  .looseObject({
    data: z.array(
      z.looseObject({
        code: currencyOut,
        exponent: z.int().meta({ description: 'Decimal digits of the minor unit: 2 means that "1250" is 12.50.' }),
        name: z.string().meta({ description: 'In English.' }),
      }),
    ),
  })
  .meta({ id: 'CurrencyList' });

const noQuery = z.strictObject({});

const DATA = CURRENCIES.map((code) => ({ code, exponent: currencyExponent(code), name: currencyName(code) }));

@Controller('v1/currencies')
export class CurrenciesController {
  @Get()
  @Documented({
    price: 'open',
    summary: 'List the currencies that accounts may be in',
    description: 'All of them, by code. ISO 4217.',
    access: 'public',
    response: currencies,
    problems: ['validation_failed'],
    responseExample: { data: [{ code: 'EUR', exponent: 2, name: 'Euro' }] },
  })
  list(@Query({ schema: noQuery }) _query: z.output<typeof noQuery>) {
    return { data: DATA };
  }
}
