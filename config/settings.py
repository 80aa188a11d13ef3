"""Django's settings: one file, read from top to bottom. What varies comes from `config.env`."""

from datetime import timedelta
from pathlib import Path

import django_stubs_ext
from csp.constants import NONE, SELF
from django.utils.translation import gettext_lazy as _
from kombu import Queue

from config.env import Environment

django_stubs_ext.monkeypatch()  # so that generic classes can be named in annotations at run time

BASE = Path(__file__).resolve().parent.parent
ENV = Environment.read()
DEBUG = False
PRODUCTION = ENV.production

# Where things lie
DATA = ENV.path("OPENVRAS_DATA", BASE / "data")
KEYS = ENV.path("OPENVRAS_KEYS", DATA / "keys")
STORE = ENV.path("OPENVRAS_STORE", DATA / "store")
DATABASES = {"default": ENV.database(DATA)}
REDIS = ENV.text("OPENVRAS_REDIS", "redis://127.0.0.1:6379/0")

# Who may call
SECRET_KEY = ENV.text("OPENVRAS_SECRET_KEY", "development only: production must set its own")
ALLOWED_HOSTS = [host for host in ENV.text("OPENVRAS_HOSTS").split(",") if host] or ["*"]
CSRF_TRUSTED_ORIGINS = [f"https://{host}" for host in ALLOWED_HOSTS if host != "*"]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION
SESSION_COOKIE_AGE = 12 * 3600
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if PRODUCTION else None
SECURE_HSTS_SECONDS = 31536000 if PRODUCTION else 0
X_FRAME_OPTIONS = "DENY"

# The product's own
INSTALLATION_NAME = ENV.text("OPENVRAS_NAME", "OpenVRAS")
IDENTITY = ENV.text("OPENVRAS_IDENTITY", "signature")
FRONT_SECRET = ENV.secret("OPENVRAS_FRONT_SECRET_FILE")
HEARTBEAT_S = ENV.number("OPENVRAS_HEARTBEAT_S", 30)
SWARM = ENV.text("OPENVRAS_SWARM", "on") == "on"
IMAGE_DSCP = int(ENV.number("OPENVRAS_IMAGE_DSCP", 1, unit="DSCP", zero=True))
POLL_S = ENV.number("OPENVRAS_POLL_S", 60)
DIRECTORY = ENV.directory()
COMPANY_NETWORKS = ENV.networks("OPENVRAS_COMPANY_NETWORKS")
KEYTAB = ENV.file("OPENVRAS_KEYTAB_FILE")
TLS_CERTIFICATE = ENV.file("OPENVRAS_TLS_CERTIFICATE_FILE")
VOLUME_LIMIT_BYTES = int(ENV.number("OPENVRAS_VOLUME_LIMIT_GIB", 20, unit="GiB") * (1 << 30))
LOST_UNDO = timedelta(hours=ENV.number("OPENVRAS_LOST_UNDO_HOURS", 4, unit="h"))
LOCKOUT = timedelta(days=ENV.number("OPENVRAS_LOCKOUT_DAYS", 30, unit="days", zero=True))
NAS = ENV.nas(DATA)
GATEWAY = ENV.gateway()
EMAIL_HOST, _colon, _port = ENV.text("OPENVRAS_MAIL_HOST").partition(":")
EMAIL_PORT = int(_port) if _port.isdecimal() else 25
EMAIL_HOST_USER = ENV.text("OPENVRAS_MAIL_USER")
EMAIL_HOST_PASSWORD = ENV.secret("OPENVRAS_MAIL_PASSWORD_FILE")
EMAIL_USE_TLS = bool(EMAIL_HOST_USER)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = ENV.text(
    "OPENVRAS_MAIL_FROM", f"openvras@{ALLOWED_HOSTS[0] if ALLOWED_HOSTS[0] != '*' else 'localhost'}"
)
CHECKOUT_REPLICA_AGE = timedelta(hours=ENV.number("OPENVRAS_CHECKOUT_REPLICA_HOURS", 48, unit="h"))
# Replicas beside those at shutdown, and over what time PCs begin with them.
REPLICA_EVERY = timedelta(hours=ENV.number("OPENVRAS_REPLICA_EVERY_H", 24, unit="hours"))
REPLICA_SPREAD = timedelta(minutes=ENV.number("OPENVRAS_REPLICA_SPREAD_MIN", 30, unit="minutes", zero=True))
REPLICA_HOLD = timedelta(seconds=ENV.number("OPENVRAS_REPLICA_HOLD_S", 120, zero=True))  # of a shutdown
REPLICAS_AT_ONCE = ENV.count("OPENVRAS_REPLICAS_AT_ONCE", 32)
REPLICA_SILENCE = timedelta(minutes=15)  # a run of which nothing is heard was cut off
REPLICA_LOCKED_READ = timedelta(minutes=30)  # how long a locked volume may be read to finish its replica
# Working days without a good one, after which it is said.
REPLICA_PATIENCE_DAYS = ENV.count("OPENVRAS_REPLICA_PATIENCE_DAYS", 3)
CERTIFICATE_LIFE = timedelta(days=30)
API_TOKEN_LIFE = timedelta(days=90)
ENROLMENT_TOKEN_LIFE = timedelta(hours=24)
DELIVERY_SILENCE = timedelta(minutes=15)
UPLOAD_SILENCE = timedelta(hours=24)
PACK_GRACE = timedelta(hours=24)
DELTA_BASES = int(ENV.number("OPENVRAS_DELTA_BASES", 2, unit="versions", zero=True))
ASSIGNMENT_LIFE = timedelta(days=30)
LOGON_LIFE = timedelta(minutes=5)  # a proven logon whose PC does not ask for the key
OPEN_SILENCE = timedelta(minutes=20)  # a PC of which nothing is heard has locked by itself long before

INSTALLED_APPS = [
    "config.apps.ConfigConfig",
    "clients",
    "imaging",
    "mydoc",
    "checkout",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
    "channels",
    "csp",
    "django_filters",
    "django_htmx",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "clients.people.rights.RightsMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "config.problems.RefusalMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "config.views.installation",
            ],
        },
    },
]

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",  # first: local accounts need no directory
    "clients.backends.DirectoryBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=5)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_VERBOSE = False
AXES_LOCKOUT_TEMPLATE = "lockout.html"
AXES_RESET_ON_SUCCESS = True

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "clients.tokens.authentication.BearerAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["clients.people.permissions.IsStaffWithScope"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.LimitOffsetPagination",
    "DEFAULT_FILTER_BACKENDS": [
        "django_filters.rest_framework.DjangoFilterBackend",
        "rest_framework.filters.SearchFilter",
        "rest_framework.filters.OrderingFilter",
    ],
    "SEARCH_PARAM": "q",
    "PAGE_SIZE": 100,
    "EXCEPTION_HANDLER": "config.problems.answer",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "OpenVRAS",
    "DESCRIPTION": "Master images for groups of PCs. Errors are RFC 9457 problem details with a `code`.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["clients.people.permissions.HasRole"],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "ENUM_NAME_OVERRIDES": {
        "ApplyEnum": "imaging.serializers.APPLY",
        "ClientStateEnum": "clients.models.Client.State",
        "VersionStateEnum": "imaging.models.ImageVersion.State",
        "DeliveryStateEnum": "imaging.models.Delivery.State",
        "DistributionStateEnum": "imaging.models.Distribution.State",
        "ApprovalKindEnum": "checkout.models.Kind",
        "CheckoutStateEnum": "checkout.models.CheckoutRequest.State",
        "CustodianStateEnum": "mydoc.models.Custodian.State",
        "OpeningStateEnum": "mydoc.models.Opening.State",
        "UpkeepStateEnum": "mydoc.models.Upkeep.State",
        "ReplicaAlarmStateEnum": "mydoc.models.ReplicaAlarm.State",
        "RestorationStateEnum": "mydoc.models.Restoration.State",
        "ReplicationStateEnum": "mydoc.models.ReplicationRun.State",
    },
}

# Messages are only nudges: losing one costs seconds.
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        # redis-py 8 closes an idle subscriber after 5 s unless told not to.
        "CONFIG": {"hosts": [{"address": REDIS, "socket_timeout": None, "max_connections": 10000}]},
    }
}
CELERY_BROKER_URL = REDIS.replace("unix://", "redis+socket://")  # kombu's word for it
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 12 * 3600}
# What must not wait behind images has a queue of its own; a worker that is told no queue takes from both.
CELERY_TASK_QUEUES = [Queue("celery"), Queue("watch"), Queue("deltas")]
CELERY_TASK_DEFAULT_QUEUE = "celery"
CELERY_TASK_ROUTES = [
    {
        "mydoc.tasks.keep": {"queue": "celery"},
        "mydoc.tasks.look_at_nas": {"queue": "celery"},
        "mydoc.tasks.explain": {"queue": "celery"},
        "mydoc.tasks.restore": {"queue": "celery"},
    },  # takes long
    {"mydoc.tasks.*": {"queue": "watch"}, "imaging.tasks.make_deltas": {"queue": "deltas"}},
]
CELERY_BEAT_SCHEDULE = {
    "seal": {"task": "imaging.tasks.cut_sealed", "schedule": 15.0},
    "deltas": {"task": "imaging.tasks.make_deltas", "schedule": 30.0, "options": {"expires": 30}},
    "pace": {"task": "imaging.tasks.pace", "schedule": 5.0},
    "silence": {"task": "imaging.tasks.sweep_silent", "schedule": 30.0},
    "garbage": {"task": "imaging.tasks.collect_garbage", "schedule": 3600.0},
    "presence": {"task": "clients.tasks.keep_presence", "schedule": 60.0},
    # Worth nothing later: when the worker is late, one sweep does.
    "watch": {"task": "mydoc.tasks.watch", "schedule": 10.0, "options": {"expires": 10}},
    "checkout": {"task": "checkout.tasks.sweep", "schedule": 30.0, "options": {"expires": 30}},
    "replicate": {"task": "mydoc.tasks.replicate", "schedule": 60.0, "options": {"expires": 60}},
    "keep": {"task": "mydoc.tasks.keep", "schedule": 300.0, "options": {"expires": 300}},
    "restore": {"task": "mydoc.tasks.restore", "schedule": 30.0, "options": {"expires": 30}},
    "explain": {"task": "mydoc.tasks.explain", "schedule": 60.0, "options": {"expires": 60}},
    "nas": {"task": "mydoc.tasks.look_at_nas", "schedule": 600.0, "options": {"expires": 600}},
    "lose": {"task": "mydoc.tasks.lose", "schedule": 60.0, "options": {"expires": 60}},
}

# Strict from the first page: nothing inline, nothing from elsewhere.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

LANGUAGE_CODE = "en"
LANGUAGES = [("ja", "日本語"), ("en", "English")]
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600
LOCALE_PATHS = [BASE / "locale"]
TIME_ZONE = "Asia/Tokyo"
USE_TZ = True
USE_I18N = True
STATIC_URL = "static/"
STATIC_ROOT = BASE / "staticfiles" if PRODUCTION else None
STATICFILES_DIRS = [BASE / "static"]
WHITENOISE_USE_FINDERS = not PRODUCTION
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 << 20
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {"axes": {"level": "WARNING"}, "httpx": {"level": "WARNING"}},
}
SILENCED_SYSTEM_CHECKS: list[str] = []
ADMIN_TITLE = _("OpenVRAS operation")
