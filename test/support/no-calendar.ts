/**
 * SQL, for an owner: no night is due by itself any more. Whoever settles days of years or weeks back has all that follow due at once, and
 * a worker would settle them in between.
 */
export const NO_CALENDAR = `
CREATE FUNCTION not_by_itself() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.due_at := '2200-01-01'; NEW.try_at := '2200-01-01';
  RETURN NEW;
END $$;
CREATE TRIGGER not_by_itself BEFORE INSERT OR UPDATE ON due_rows
  FOR EACH ROW WHEN (NEW.kind = 'settlement') EXECUTE FUNCTION not_by_itself()`;
