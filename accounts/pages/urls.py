"""Routes of the pages for people."""

from django.urls import path, re_path

from accounts.pages import entry, profile, sessions
from accounts.pages.picture import picture
from accounts.pictures import NAME_PATTERN

urlpatterns = [
    path("account/", profile.profile, name="account"),
    path("account/picture/", profile.picture_change, name="account_picture"),
    path("account/password/", profile.password, name="account_password"),
    path("account/sessions/", sessions.sessions, name="account_sessions"),
    path(
        "account/sessions/<uuid:session_id>/end/", sessions.session_end, name="account_session_end"
    ),
    path(
        "account/sessions/end-others/",
        sessions.sessions_end_others,
        name="account_sessions_end_others",
    ),
    path("account/register/", entry.register, name="account_register"),
    path("account/login/", entry.login, name="account_login"),
    path("account/logout/", entry.logout, name="account_logout"),
    re_path(rf"^pictures/(?P<name>{NAME_PATTERN})$", picture, name="picture"),
]
