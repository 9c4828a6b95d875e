@echo off
rem The specification's name for scripts\setup_venv.py on Windows; options are passed on.
where py >nul 2>nul && (py -3 "%~dp0setup_venv.py" %* & goto end)
where python >nul 2>nul && (python "%~dp0setup_venv.py" %* & goto end)
echo error: there is no Python here. Get it from python.org, 3.10 or newer. 1>&2
exit /b 1
:end
if errorlevel 1 pause
