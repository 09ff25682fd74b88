import type { RecordShape } from './xml-records.js';

/** What is read of BankToCustomerStatement, from 001.02 to what banks send today: they differ in where a code or an amount stands. */
const TRANSACTION: RecordShape = {
  values: [
    'Refs/AcctSvcrRef',
    'Refs/EndToEndId',
    'Amt',
    'Amt@Ccy',
    'AmtDtls/TxAmt/Amt',
    'AmtDtls/TxAmt/Amt@Ccy',
    'CdtDbtInd',
    'BkTxCd/Domn/Fmly/SubFmlyCd',
    'RmtInf/Ustrd',
    'RmtInf/Strd/CdtrRefInf/Ref',
    'RtrInf/Rsn/Cd',
  ],
  records: {},
};

const ENTRY: RecordShape = {
  values: [
    'Amt',
    'Amt@Ccy',
    'CdtDbtInd',
    'RvslInd',
    'Sts',
    'Sts/Cd',
    'BookgDt/Dt',
    'BookgDt/DtTm',
    'ValDt/Dt',
    'ValDt/DtTm',
    'AcctSvcrRef',
    'NtryRef',
    'BkTxCd/Domn/Fmly/SubFmlyCd',
  ],
  records: { 'NtryDtls/TxDtls': TRANSACTION },
};

const BALANCE: RecordShape = {
  values: ['Tp/CdOrPrtry/Cd', 'Amt', 'Amt@Ccy', 'CdtDbtInd'],
  records: {},
};

const STATEMENT: RecordShape = {
  values: ['Id', 'Acct/Id/IBAN', 'Acct/Id/Othr/Id', 'Acct/Ccy'],
  records: { Bal: BALANCE, Ntry: ENTRY },
};

export const CAMT053: RecordShape = {
  values: [],
  records: { Document: { values: [], records: { 'BkToCstmrStmt/Stmt': STATEMENT } } },
};

export const STATEMENT_PATH = '/Document/BkToCstmrStmt/Stmt';
export const BALANCE_PATH = `${STATEMENT_PATH}/Bal`;
export const ENTRY_PATH = `${STATEMENT_PATH}/Ntry`;
export const TRANSACTION_PATH = `${ENTRY_PATH}/NtryDtls/TxDtls`;
