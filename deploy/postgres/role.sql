\getenv password POSTGRES_PASSWORD
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'ballast' AND oid = 10) THEN
        ALTER ROLE ballast RENAME TO ballast_before;
        ALTER ROLE ballast_before NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ballast') THEN
        CREATE ROLE ballast;
    END IF;
END $$;
ALTER ROLE ballast WITH LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB PASSWORD :'password';
ALTER DATABASE ballast OWNER TO ballast;
