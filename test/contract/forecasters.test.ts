/** Goal: every forecaster of the registry keeps the contract of the Forecaster seam. */
import t from 'tap';
import { FORECASTERS, forecasterFactory } from '../../aggregator/core/forecast/registry.ts';
import { forecasterContract } from './forecaster-contract.ts';

t.ok(FORECASTERS.length >= 6, 'the registry was looked at');
for (const name of FORECASTERS) forecasterContract(t, name);

t.test('an unknown name is told with those there are', async (t) => {
  t.throws(() => forecasterFactory('oracle'), { code: 'NOT_FOUND', message: /oracle.*aggregate/ });
});
