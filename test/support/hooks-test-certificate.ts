import { createPrivateKey, X509Certificate } from 'node:crypto';

/** For `hooks.test` alone, made for these tests and trusted by nobody else: `openssl req -x509 -newkey ec … -days 36500`. */
const CERTIFICATE =
  'MIIBmDCCAT6gAwIBAgIURU1P3ONeDsLwCdK/Ygnn+jcvXLkwCgYIKoZIzj0EAwIwFTETMBEGA1UEAwwKaG9va3MudGVzdDAgFw0y' +
  'NjExMjEyMDM4MjFaGA8yMTI2MTAyODIwMzgyMVowFTETMBEGA1UEAwwKaG9va3MudGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEH' +
  'A0IABFeHRIdwaiQTnISKL2lPLA3rf5QpZzwDA6wKxCqrUQyyM5W/smNz59M+gBbiin2xCaEL/6vpHm7m9ciHTwpgqn6jajBoMB0G' +
  'A1UdDgQWBBSRMdv8/oBLp66ablooeWX1zUVDbDAfBgNVHSMEGDAWgBSRMdv8/oBLp66ablooeWX1zUVDbDAPBgNVHRMBAf8EBTAD' +
  'AQH/MBUGA1UdEQQOMAyCCmhvb2tzLnRlc3QwCgYIKoZIzj0EAwIDSAAwRQIhAPI5Ixp2tPGAtXBgkyTwJy0ASQ4XQadZCqNUkJou' +
  'bp8MAiBYp7JvpNw3XlVELOIdh57UTenpDZEnINaBsO5cY3dN4Q==';
const KEY =
  'MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg2V8wXR0A1Qmf6EXiUp/lWFup8l5J3TlGH5nItzozSmihRANCAARX' +
  'h0SHcGokE5yEii9pTywN63+UKWc8AwOsCsQqq1EMsjOVv7Jjc+fTPoAW4op9sQmhC/+r6R5u5vXIh08KYKp+';

/** As PEM. */
export const HOOKS_TEST_CERTIFICATE = new X509Certificate(Buffer.from(CERTIFICATE, 'base64')).toString();
export const HOOKS_TEST_KEY = createPrivateKey({ key: Buffer.from(KEY, 'base64'), format: 'der', type: 'pkcs8' })
  .export({ format: 'pem', type: 'pkcs8' })
  .toString();
